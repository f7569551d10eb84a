/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which addresses of the PF's BAR 0 are registers, and the weakest reset that clears each.
 *
 * A register without a meaning to the device keeps the value that the driver wrote.
 */
#include "device.h"

typedef struct RegisterRange {
    uint32_t first, last;
    ResetLevel cleared_by;
    bool read_only;
} RegisterRange;

#define ONE(address, level) { address, address, level, false }
#define RANGE(first, last, level) { first, last, level, false }
#define FIXED(first, last) { first, last, RESET_POWER, true }
#define COUNTERS(first, last) { first, last, RESET_CORE, true }

static const RegisterRange map[] = {
    /* Interrupts of VFs */
    RANGE(0x20000, 0x217fc, RESET_VF), RANGE(0x24800, 0x24ffc, RESET_VF), RANGE(0x25000, 0x25ffc, RESET_VF),
    RANGE(0x26800, 0x26ffc, RESET_CORE), RANGE(0x2a400, 0x2a5fc, RESET_VF), RANGE(0x2a800, 0x2a9fc, RESET_VF),
    RANGE(0x2b800, 0x2b9fc, RESET_CORE), RANGE(0x2bc00, 0x2bdfc, RESET_CORE), RANGE(0x2c000, 0x2c1fc, RESET_CORE),
    /* Interrupts of the PF */
    RANGE(0x30000, 0x317fc, RESET_PF), RANGE(0x34800, 0x34ffc, RESET_PF), RANGE(0x35000, 0x35ffc, RESET_PF),
    RANGE(0x36800, 0x36ffc, RESET_CORE), RANGE(0x38000, 0x38100, RESET_PF), ONE(0x38400, RESET_CORE),
    ONE(0x38480, RESET_PF), ONE(0x38500, RESET_PF), ONE(0x38580, RESET_PF), ONE(0x38700, RESET_CORE),
    ONE(0x38780, RESET_CORE), ONE(0x38800, RESET_CORE), RANGE(0x3a000, 0x3b7fc, RESET_CORE),
    RANGE(0x3c000, 0x3d7fc, RESET_CORE), ONE(0x3f100, RESET_CORE), ONE(0x3f800, RESET_CORE),
    RANGE(0x442d8, 0x442e0, RESET_CORE), ONE(0x6b400, RESET_POWER),
    /* Queues of VFs, resets */
    RANGE(0x70000, 0x741fc, RESET_VF), RANGE(0x74400, 0x745fc, RESET_VF), RANGE(0x91800, 0x919fc, RESET_CORE),
    { 0x91c00, 0x91dfc, RESET_CORE, true }, ONE(0x92400, RESET_PF), RANGE(0x92600, 0x9260c, RESET_CORE),
    ONE(0xb8190, RESET_CORE), FIXED(0xb8180, 0xb8188), ONE(0x881bc, RESET_CORE), RANGE(0x88100, 0x88184, RESET_POWER),
    /* Admin queues */
    RANGE(0x80000, 0x80000, RESET_PF), ONE(0x80080, RESET_PF), ONE(0x80100, RESET_PF), ONE(0x80180, RESET_PF),
    ONE(0x80200, RESET_PF), ONE(0x80280, RESET_PF), ONE(0x80300, RESET_PF), ONE(0x80380, RESET_PF),
    ONE(0x80400, RESET_PF), ONE(0x80480, RESET_PF),
    /* Identity, NVM, PCI */
    FIXED(0x83048, 0x83048), FIXED(0x9c000, 0x9c000), ONE(0x9c080, RESET_PF), ONE(0x9c100, RESET_PF),
    FIXED(0xb6008, 0xb6008), FIXED(0xb6100, 0xb6108), ONE(0xb6110, RESET_POWER), ONE(0xb6114, RESET_POWER),
    FIXED(0xb612c, 0xb612c), ONE(0xb8080, RESET_POWER), FIXED(0xb8100, 0xb812c), FIXED(0xbe100, 0xbe100),
    FIXED(0xbe484, 0xbe4a8), FIXED(0x1c0400, 0x1c0400), FIXED(0x1c0480, 0x1c0480), FIXED(0x1c0500, 0x1c0500),
    FIXED(0x1c0ab4, 0x1c0ab4),
    /* Data centre bridging, packet buffers */
    ONE(0x83000, RESET_CORE), ONE(0x83020, RESET_CORE), RANGE(0x98060, 0x98060, RESET_CORE),
    RANGE(0xa0040, 0xa21a0, RESET_CORE), RANGE(0xac100, 0xac7c0, RESET_CORE), ONE(0xae060, RESET_CORE),
    RANGE(0x122180, 0x1224e0, RESET_CORE), ONE(0x1c0980, RESET_CORE), ONE(0x1c09a0, RESET_CORE),
    ONE(0x1c0b00, RESET_CORE),
    /* Host memory cache */
    ONE(0xc0000, RESET_PF), ONE(0xc0100, RESET_PF), ONE(0xc0200, RESET_PF), ONE(0xc0300, RESET_PF),
    FIXED(0xc0400, 0xc0400), FIXED(0xc0500, 0xc0500), FIXED(0xc2004, 0xc20d0), RANGE(0xc6200, 0xc69fc, RESET_CORE),
    /* Queues */
    RANGE(0xe4000, 0xe57fc, RESET_CORE), RANGE(0xe6000, 0xe61fc, RESET_CORE), ONE(0xe6400, RESET_CORE),
    ONE(0xe6480, RESET_CORE), ONE(0xe64dc, RESET_CORE), RANGE(0xe6500, 0xe652c, RESET_CORE),
    RANGE(0x100000, 0x1017fc, RESET_PF),
    RANGE(0x104000, 0x1057fc, RESET_CORE), RANGE(0x108000, 0x1097fc, RESET_PF), RANGE(0x120000, 0x1217fc, RESET_PF),
    RANGE(0x128000, 0x1297fc, RESET_CORE), RANGE(0x12a000, 0x12a1fc, RESET_CORE), ONE(0x12a400, RESET_CORE),
    ONE(0x12a500, RESET_CORE), ONE(0x12a510, RESET_CORE), RANGE(0x200000, 0x203ffc, RESET_PF),
    RANGE(0x20c800, 0x20cdfc, RESET_PF),
    /* MAC and clock */
    FIXED(0x1e2120, 0x1e2140), ONE(0x1e2400, RESET_GLOBAL), RANGE(0x1e30c0, 0x1e3480, RESET_GLOBAL),
    FIXED(0x1e4200, 0x1e4200), RANGE(0x1e4240, 0x1e42e0, RESET_GLOBAL),
    FIXED(0x1e4320, 0x1e4320), FIXED(0x1e43a0, 0x1e43c0), ONE(0x1e4640, RESET_GLOBAL),
    /* Hashing and flow director */
    ONE(0x1c0ac0, RESET_CORE), RANGE(0x220000, 0x223ffc, RESET_CORE), RANGE(0x228000, 0x22b3fc, RESET_CORE),
    RANGE(0x230800, 0x230ffc, RESET_CORE), RANGE(0x240000, 0x243ffc, RESET_CORE),
    RANGE(0x244800, 0x244e7c, RESET_CORE), RANGE(0x245900, 0x245980, RESET_CORE), ONE(0x245d80, RESET_CORE),
    ONE(0x246380, RESET_CORE), RANGE(0x250000, 0x251fe0, RESET_CORE), RANGE(0x255200, 0x255300, RESET_CORE),
    RANGE(0x266800, 0x266ffc, RESET_CORE), RANGE(0x267600, 0x2677fc, RESET_CORE), RANGE(0x268900, 0x2689fc, RESET_CORE),
    ONE(0x269bac, RESET_CORE), RANGE(0x270140, 0x270170, RESET_CORE), RANGE(0x270384, 0x270388, RESET_CORE),
    /* Statistics */
    COUNTERS(0x300000, 0x300a3c), COUNTERS(0x310000, 0x310bfc), COUNTERS(0x318000, 0x31847c),
    COUNTERS(0x328000, 0x328bfc), COUNTERS(0x32c000, 0x32c07c), COUNTERS(0x334000, 0x3343fc),
    COUNTERS(0x338000, 0x3383fc), COUNTERS(0x33c000, 0x33e3fc), COUNTERS(0x340000, 0x34017c),
    COUNTERS(0x344000, 0x344bfc), COUNTERS(0x348000, 0x34807c), COUNTERS(0x358000, 0x358bfc),
    COUNTERS(0x35c000, 0x35c07c), COUNTERS(0x364000, 0x3643fc), COUNTERS(0x368000, 0x3683fc),
    COUNTERS(0x36c000, 0x36effc), COUNTERS(0x370000, 0x3701fc), ONE(0x390004, RESET_CORE),
};

static const RegisterRange *find(uint32_t address)
{
    /* One byte per register: the index into `map` plus 1. Without it every access would search the map. */
    static uint8_t index[PF_REGISTERS_SIZE / 4];
    static bool ready;

    QEMU_BUILD_BUG_ON(ARRAY_SIZE(map) >= UINT8_MAX);
    if (!ready) {
        for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
            memset(index + map[i].first / 4, i + 1, (map[i].last - map[i].first) / 4 + 1);
        }
        ready = true;
    }
    if (address >= PF_REGISTERS_SIZE || !index[address / 4]) {
        return NULL;
    }
    return &map[index[address / 4] - 1];
}

bool x710_register_known(uint32_t address)
{
    return find(address) != NULL;
}

bool x710_register_read_only(uint32_t address)
{
    const RegisterRange *range = find(address);

    return range && range->read_only;
}

void x710_clear_registers(X710State *s, ResetLevel level)
{
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (map[i].cleared_by <= level) {
            memset(x710_register(s, map[i].first), 0, map[i].last - map[i].first + 4);
        }
    }
    x710_preset_registers(s);
}
