/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host memory cache: the driver keeps the contexts of queues in its own memory, in segments of 2 MiB.
 */
#include "device.h"
#include "admin_queue.h"

#define SEGMENT_SHIFT 21
#define PD_SHIFT 12
#define PD_VALID 1
#define BASE_UNIT 512
#define TX_CONTEXT_SIZE 128
#define RX_CONTEXT_SIZE 32
/* Units of the addresses and of the buffer size in a context. */
#define CONTEXT_UNIT 128

void x710_write_segment(X710State *s, uint32_t command)
{
    uint32_t index = command & SDCMD_INDEX;

    if (!(command & SDCMD_WRITE)) {
        return;
    }
    if (index >= SEGMENTS) {
        x710_journal(s, "segment descriptor %u is outside the table", index);
        return;
    }
    s->segments[index].low = *x710_register(s, PFHMC_SDDATALOW);
    s->segments[index].high = *x710_register(s, PFHMC_SDDATAHIGH);
}

/* Reads a context, which lies in one page because its size is a power of two. */
static bool read_context(X710State *s, uint64_t address, uint8_t *context, size_t size)
{
    uint64_t index = address >> SEGMENT_SHIFT, offset = address & ((1 << SEGMENT_SHIFT) - 1);
    const SegmentDescriptor *segment = index < SEGMENTS ? &s->segments[index] : NULL;

    if (!segment || !(segment->low & SDDATALOW_VALID)) {
        return false;
    }
    dma_addr_t base = (dma_addr_t)segment->high << 32 | (segment->low & ~0xfffu);
    if (!(segment->low & SDDATALOW_DIRECT)) {
        uint8_t raw[8];
        if (pci_dma_read(PCI_DEVICE(s), base + (offset >> PD_SHIFT) * 8, raw, sizeof(raw)) != MEMTX_OK ||
            !(ldq_le_p(raw) & PD_VALID)) {
            return false;
        }
        base = ldq_le_p(raw) & ~0xfffull;
        offset &= (1 << PD_SHIFT) - 1;
    }
    return pci_dma_read(PCI_DEVICE(s), base + offset, context, size) == MEMTX_OK;
}

static uint64_t field(const uint8_t *context, unsigned first_bit, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        unsigned bit = first_bit + i;
        value |= (uint64_t)(context[bit / 8] >> bit % 8 & 1) << i;
    }
    return value;
}

bool x710_load_tx_queue(X710State *s, unsigned index)
{
    uint64_t base = (uint64_t)*x710_register(s, GLHMC_LANTXBASE) * BASE_UNIT;
    uint32_t control = *x710_register(s, QTX_CTL(index));
    uint8_t context[TX_CONTEXT_SIZE];
    Queue *queue = &s->tx[index];

    if (!read_context(s, base + index * TX_CONTEXT_SIZE, context, sizeof(context))) {
        x710_journal(s, "TX queue %u has no context", index);
        return false;
    }
    *queue = (Queue) {
        .function = (control & QTX_CTL_TYPE) == QTX_CTL_TYPE_VF ? (int)QTX_CTL_VF(control) : PF,
        .head = field(context, 0, 13),
        .base = field(context, 32, 57) * CONTEXT_UNIT,
        .write_head = field(context, 128 + 32, 1),
        .len = field(context, 128 + 33, 13),
        .head_address = field(context, 128 + 64, 64),
        .vsi = field(context, 7 * 128 + 84, 10),
    };
    if (queue->vsi >= VSIS || !s->vsis[queue->vsi].used || queue->len == 0 || queue->head >= queue->len ||
        queue->function >= VFS) {
        x710_journal(s, "TX queue %u has a bad context: VSI %u, function %d, head %u of %u", index, queue->vsi,
                     queue->function, queue->head, queue->len);
        return false;
    }
    return true;
}

bool x710_load_rx_queue(X710State *s, unsigned index)
{
    uint64_t base = (uint64_t)*x710_register(s, GLHMC_LANRXBASE) * BASE_UNIT;
    int vsi = x710_vsi_of_queue(s, index);
    uint8_t context[RX_CONTEXT_SIZE];
    Queue *queue = &s->rx[index];

    if (vsi < 0 || !read_context(s, base + index * RX_CONTEXT_SIZE, context, sizeof(context))) {
        x710_journal(s, "RX queue %u has no %s", index, vsi < 0 ? "VSI" : "context");
        return false;
    }
    *queue = (Queue) {
        .function = s->vsis[vsi].type == VSI_TYPE_VF ? s->vsis[vsi].vf : PF,
        .vsi = vsi,
        .head = field(context, 0, 13),
        .base = field(context, 32, 57) * CONTEXT_UNIT,
        .len = field(context, 89, 13),
        .buffer_size = field(context, 102, 7) * CONTEXT_UNIT,
        .descriptor_size = field(context, 116, 1) ? 32 : 16,
        .max_frame = field(context, 174, 14),
    };
    if (queue->len == 0 || queue->head >= queue->len || queue->buffer_size == 0) {
        x710_journal(s, "RX queue %u has a bad context: head %u of %u, buffers of %u bytes", index, queue->head,
                     queue->len, queue->buffer_size);
        return false;
    }
    return true;
}
