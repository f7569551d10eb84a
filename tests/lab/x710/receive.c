/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RX queues: frames into the buffers of a driver.
 */
#include "device.h"
#include "admin_queue.h"
#include "net/eth.h"

#define STATUS_DONE (1ull << 0)
#define STATUS_END_OF_FRAME (1ull << 1)
#define STATUS_TAG (1ull << 2)
#define PACKET_TYPE_SHIFT 30
/* A layer 2 packet: the driver then trusts no checksum of the device. */
#define PACKET_TYPE_L2 1ull
#define LENGTH_SHIFT 38
#define TAG_SHIFT 16
#define TAG_SIZE 4
#define MACS_SIZE 12

typedef struct Received {
    /* The frame without its tag is in two parts. */
    const uint8_t *macs, *rest;
    size_t rest_length;
    bool has_tag;
    uint16_t tag;
} Received;

static Received strip(const Vsi *vsi, const uint8_t *frame, size_t length)
{
    uint8_t mode = vsi->context[CONTEXT_VLAN_FLAGS] & VLAN_STRIP_MASK;
    bool tagged = length >= MACS_SIZE + TAG_SIZE + 2 && lduw_be_p(frame + MACS_SIZE) == ETH_P_VLAN;
    bool stripped = tagged && mode != VLAN_STRIP_NOTHING;
    size_t skip = MACS_SIZE + (stripped ? TAG_SIZE : 0);

    return (Received) {
        .macs = frame,
        .rest = frame + skip,
        .rest_length = length - skip,
        .has_tag = stripped && mode != VLAN_STRIP,
        .tag = stripped ? lduw_be_p(frame + MACS_SIZE + 2) : 0,
    };
}

static unsigned free_buffers(X710State *s, unsigned index)
{
    const Queue *queue = &s->rx[index];
    uint32_t tail = *x710_register(s, QRX_TAIL(index));

    if (tail >= queue->len) {
        x710_journal(s, "RX queue %u: tail %u is outside its %u descriptors", index, tail, queue->len);
        x710_stop_rx(s, index);
        return 0;
    }
    return (tail + queue->len - queue->head) % queue->len;
}

/* Copies a part of the frame, which begins at `offset`, to a buffer. */
static bool write_buffer(PCIDevice *pci, dma_addr_t buffer, const Received *frame, size_t offset, size_t size)
{
    MemTxResult result = MEMTX_OK;

    if (offset < MACS_SIZE) {
        size_t part = MIN(size, MACS_SIZE - offset);
        result = pci_dma_write(pci, buffer, frame->macs + offset, part);
        buffer += part;
        offset += part;
        size -= part;
    }
    if (size > 0 && result == MEMTX_OK) {
        result = pci_dma_write(pci, buffer, frame->rest + offset - MACS_SIZE, size);
    }
    return result == MEMTX_OK;
}

/* Fills one descriptor's buffer, and returns the descriptor to the driver. */
static bool fill(PCIDevice *pci, Queue *queue, const Received *frame, size_t offset, size_t size, bool last)
{
    dma_addr_t descriptor = queue->base + (dma_addr_t)queue->head * queue->descriptor_size;
    uint8_t raw[8];
    uint64_t status = STATUS_DONE | PACKET_TYPE_L2 << PACKET_TYPE_SHIFT | (uint64_t)size << LENGTH_SHIFT;

    if (pci_dma_read(pci, descriptor, raw, sizeof(raw)) != MEMTX_OK ||
        !write_buffer(pci, ldq_le_p(raw), frame, offset, size)) {
        return false;
    }
    if (last) {
        status |= STATUS_END_OF_FRAME | (frame->has_tag ? STATUS_TAG : 0);
    }
    stq_le_p(raw, frame->has_tag ? (uint64_t)frame->tag << TAG_SHIFT : 0);
    pci_dma_write(pci, descriptor, raw, sizeof(raw));
    /* The driver looks for STATUS_DONE, so this half is written last. */
    stq_le_p(raw, status);
    pci_dma_write(pci, descriptor + 8, raw, sizeof(raw));
    /* A guest may have made the device write to its own registers, and so to this queue's. */
    if (!queue->enabled) {
        return false;
    }
    queue->head = (queue->head + 1) % queue->len;
    return true;
}

void x710_receive(X710State *s, unsigned vsi, const uint8_t *data, size_t length)
{
    int index = x710_first_queue(&s->vsis[vsi]);
    Queue *queue = index < 0 ? NULL : &s->rx[index];
    PCIDevice *pci = queue && queue->enabled ? x710_function(s, queue->function) : NULL;
    Received frame = strip(&s->vsis[vsi], data, length);
    size_t total = MACS_SIZE + frame.rest_length, offset = 0;

    if (!pci || queue->vsi != vsi || free_buffers(s, index) < DIV_ROUND_UP(total, queue->buffer_size)) {
        x710_count(s, GLV_RDPC(vsi), 1);
        return;
    }
    while (offset < total) {
        size_t size = MIN(total - offset, queue->buffer_size);
        if (!fill(pci, queue, &frame, offset, size, offset + size == total)) {
            x710_journal(s, "RX queue %d: bad address of a descriptor or a buffer", index);
            x710_stop_rx(s, index);
            return;
        }
        offset += size;
    }
    x710_raise_queue(s, queue, QINT_RQCTL(index));
}
