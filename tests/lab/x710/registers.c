/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of the PF's BAR 0.
 */
#include "device.h"
#include "qemu/bitops.h"

/* States of a device that is always ready. */
#define ULD_CORE_AND_GLOBAL_DONE 0x18
/* The size of the shadow RAM; the driver reads sectors of 2048 words. */
#define GENS_SR_SIZE_2K_WORDS (2 << 5)
#define FLA_LOCKED 0x40
#define MAX_FRAME_WITH_FCS (MAX_FRAME)
/* No PF owns the clock, because the device has none. */
#define TSYN_NO_OWNER (0xf << 8)

void x710_preset_registers(X710State *s)
{
    *x710_register(s, GLPCI_CNF2) = PF_VECTORS << 2 | VF_VECTORS << 13;
    *x710_register(s, PFLAN_QALLOC) = ALLOC_VALID | (QUEUES - 1) << 16;
    *x710_register(s, PF_VT_PFALLOC) = ALLOC_VALID | (VFS - 1) << 8;
    *x710_register(s, GLGEN_RSTCTL) = 1;
    *x710_register(s, GLNVM_ULD) = ULD_CORE_AND_GLOBAL_DONE;
    *x710_register(s, GLNVM_GENS) = GENS_SR_SIZE_2K_WORDS;
    *x710_register(s, GLNVM_FLA) = FLA_LOCKED;
    *x710_register(s, GLHMC_LANQMAX) = MAX_QUEUE_REGISTERS;
    *x710_register(s, GLHMC_LANTXOBJSZ) = 7;
    *x710_register(s, GLHMC_LANRXOBJSZ) = 5;
    *x710_register(s, GLHMC_FCOEMAX) = 0x1000;
    *x710_register(s, GLHMC_FCOEFMAX) = 0x2000;
    *x710_register(s, GLGEN_PCIFCNCNT) = 1 | VFS << 16;
    *x710_register(s, PRTGL_SAH) = (uint32_t)MAX_FRAME_WITH_FCS << 16;
    *x710_register(s, PRTTSYN_CTL0) = TSYN_NO_OWNER;
    *x710_register(s, GLNVM_SRCTL) = SRCTL_DONE;
    /* Only port 0 exists. */
    for (unsigned port = 1; port < 4; port++) {
        *x710_register(s, PRTGEN_CNF + 4 * port) = 1;
    }
}

static uint32_t *admin_register(X710State *s, uint32_t address)
{
    switch (address) {
    case PF_ATQBAL: return &s->atq.base_low;
    case PF_ATQBAH: return &s->atq.base_high;
    case PF_ATQLEN: return &s->atq.len;
    case PF_ATQH: return &s->atq.head;
    case PF_ATQT: return &s->atq.tail;
    case PF_ARQBAL: return &s->arq.base_low;
    case PF_ARQBAH: return &s->arq.base_high;
    case PF_ARQLEN: return &s->arq.len;
    case PF_ARQH: return &s->arq.head;
    case PF_ARQT: return &s->arq.tail;
    default: return NULL;
    }
}

static void note_unknown(X710State *s, uint32_t address, const char *access, uint32_t value)
{
    bool write = access[0] == 'w';
    /* The BAR, and addresses in commands, reach beyond the registers. All that lies there is one. */
    uint32_t index = MIN(address, PF_REGISTERS_SIZE) / 4;

    if (!test_and_set_bit(index * 2 + write, s->noted)) {
        x710_journal(s, "unknown register 0x%06x: %s 0x%08x", address, access, value);
    }
}

uint32_t x710_read(X710State *s, uint32_t address)
{
    uint32_t *admin = admin_register(s, address);

    if (admin) {
        return *admin;
    }
    if (!x710_register_known(address)) {
        note_unknown(s, address, "read", 0);
        return 0;
    }
    if (address == PFINT_ICR0) {
        return x710_read_cause(s, PF);
    }
    return *x710_register(s, address);
}

static bool in_array(uint32_t address, uint32_t first, unsigned count, unsigned *index)
{
    *index = (address - first) / 4;
    return address >= first && *index < count;
}

/* Writes a register of a queue, or of a VF's reset. Returns false if it is another register. */
static bool write_array(X710State *s, uint32_t address, uint32_t value)
{
    unsigned i;

    if (in_array(address, QTX_TAIL(0), QUEUES, &i)) {
        *x710_register(s, address) = value;
        x710_transmit(s, i);
    } else if (in_array(address, QTX_ENA(0), QUEUES, &i)) {
        x710_enable_tx(s, i, value);
    } else if (in_array(address, QRX_ENA(0), QUEUES, &i)) {
        x710_enable_rx(s, i, value);
    } else if (in_array(address, GLGEN_VFLRSTAT(0), 4, &i)) {
        *x710_register(s, address) &= ~value;
    } else if (in_array(address, VPGEN_VFRTRIG(0), VFS, &i)) {
        *x710_register(s, address) = value;
        if (value & VFRTRIG_VFSWR) {
            x710_reset_vf(s, i);
        }
    } else {
        return false;
    }
    return true;
}

static void read_nvm(X710State *s, uint32_t value)
{
    if (value & SRCTL_START) {
        uint32_t word = x710_nvm_word(value >> SRCTL_ADDR_SHIFT & 0x7fff);
        *x710_register(s, GLNVM_SRDATA) = word << 16;
    }
    *x710_register(s, GLNVM_SRCTL) = (value & ~SRCTL_START) | SRCTL_DONE;
}

void x710_write(X710State *s, uint32_t address, uint32_t value)
{
    uint32_t *admin = admin_register(s, address);

    if (admin) {
        *admin = value;
        if (address == PF_ATQT) {
            x710_run_commands(s);
        } else if (address == PF_ARQT) {
            x710_forward_all_messages(s);
        }
        return;
    }
    if (!x710_register_known(address)) {
        note_unknown(s, address, "written", value);
        return;
    }
    if (x710_register_read_only(address) || x710_write_interrupt(s, address, value) || write_array(s, address, value)) {
        return;
    }
    switch (address) {
    case PFINT_ICR0:
        break;
    case PFGEN_CTRL:
        if (value & PFGEN_CTRL_PFSWR) {
            x710_reset(s, RESET_PF);
        }
        break;
    case GLGEN_RTRIG:
        x710_reset_by_driver(s, value);
        break;
    case GLNVM_SRCTL:
        read_nvm(s, value);
        break;
    case PF_PCI_CIAA:
        /* The device has no transaction pending when the driver looks. */
        *x710_register(s, PF_PCI_CIAD) = 0;
        break;
    case PFHMC_SDCMD:
        x710_write_segment(s, value);
        break;
    default:
        *x710_register(s, address) = value;
    }
}

static uint64_t mmio_read(void *opaque, hwaddr address, unsigned size)
{
    return x710_read(opaque, address);
}

static void mmio_write(void *opaque, hwaddr address, uint64_t value, unsigned size)
{
    x710_write(opaque, address, value);
}

const MemoryRegionOps x710_register_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};
