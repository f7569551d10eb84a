/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shadow RAM of the NVM: empty but for the words that the driver checks.
 */
#include "device.h"

#define WORDS 2048
#define CONTROL_WORD 0x00
#define VPD_POINTER 0x2f
#define NVM_VERSION 0x18
#define EETRACK_LOW 0x2d
#define PCIE_ALTERNATE_POINTER 0x3e
#define MNG_POINTER 0x1b
#define CHECKSUM_WORD 0x3f
#define CHECKSUM_SUM 0xbaba

static uint16_t content(uint32_t offset)
{
    switch (offset) {
    case CONTROL_WORD: return 0x0040;
    case NVM_VERSION: return 0x9120;
    case EETRACK_LOW: return 0x710f;
    /* No such module, so that the checksum covers every word. */
    case MNG_POINTER:
    case VPD_POINTER:
    case PCIE_ALTERNATE_POINTER: return 0xffff;
    default: return 0;
    }
}

uint16_t x710_nvm_word(uint32_t offset)
{
    uint16_t sum = 0;

    if (offset != CHECKSUM_WORD) {
        return offset < WORDS ? content(offset) : 0;
    }
    for (uint32_t i = 0; i < WORDS; i++) {
        sum += i == CHECKSUM_WORD ? 0 : content(i);
    }
    return CHECKSUM_SUM - sum;
}
