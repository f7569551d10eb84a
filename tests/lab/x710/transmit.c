/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TX queues: frames from a driver.
 */
#include "device.h"
#include "admin_queue.h"
#include "net/eth.h"

#define DESCRIPTOR_SIZE 16
#define TYPE_DATA 0x0
#define TYPE_CONTEXT 0x1
#define TYPE_DONE 0xf
#define COMMAND_SHIFT 4
#define COMMAND_END_OF_FRAME 0x001
#define COMMAND_REPORT 0x002
#define COMMAND_INSERT_TAG 0x008
#define COMMAND_IP_MASK 0x060
#define COMMAND_IPV4_CHECKSUM 0x060
#define COMMAND_L4_MASK 0x300
#define COMMAND_L4_TCP 0x100
#define COMMAND_L4_UDP 0x300
#define CONTEXT_SEGMENT 0x01
#define OFFSETS_SHIFT 16
#define SIZE_SHIFT 34
#define TAG_SHIFT 48
#define SEGMENT_SIZE_SHIFT 50
#define TAG_SIZE 4
#define MACS_SIZE 12

/* The frame that is collected from descriptors into the device's buffer. */
typedef struct Packet {
    size_t length;
    unsigned descriptors;
    bool complete, tagged;
    uint16_t tag;
    Offload offload;
} Packet;

static void stop(X710State *s, unsigned index, const char *why)
{
    x710_journal(s, "TX queue %u of VSI %u: %s", index, s->tx[index].vsi, why);
    x710_stop_tx(s, index);
}

static bool add_data(X710State *s, PCIDevice *pci, Packet *packet, dma_addr_t address, uint64_t word)
{
    uint32_t command = word >> COMMAND_SHIFT & 0xfff, offsets = word >> OFFSETS_SHIFT & 0x3ffff;
    size_t size = word >> SIZE_SHIFT & 0x3fff;

    if (size == 0 || packet->length + size > MAX_TSO ||
        pci_dma_read(pci, address, s->frame + TAG_SIZE + packet->length, size) != MEMTX_OK) {
        return false;
    }
    packet->length += size;
    packet->complete = command & COMMAND_END_OF_FRAME;
    if (command & COMMAND_INSERT_TAG) {
        packet->tagged = true;
        packet->tag = word >> TAG_SHIFT;
    }
    packet->offload.ipv4_checksum = (command & COMMAND_IP_MASK) == COMMAND_IPV4_CHECKSUM;
    packet->offload.tcp = (command & COMMAND_L4_MASK) == COMMAND_L4_TCP;
    packet->offload.udp = (command & COMMAND_L4_MASK) == COMMAND_L4_UDP;
    packet->offload.l2_length = (offsets & 0x7f) * 2;
    packet->offload.l3_length = (offsets >> 7 & 0x7f) * 4;
    packet->offload.l4_length = (offsets >> 14) * 4;
    return true;
}

/* Collects the descriptors of the next frame. Returns false if the queue had to be stopped. */
static bool collect(X710State *s, unsigned index, uint32_t tail, Packet *packet)
{
    Queue *queue = &s->tx[index];
    PCIDevice *pci = x710_function(s, queue->function);

    *packet = (Packet) { 0 };
    for (unsigned at = queue->head; at != tail && !packet->complete; at = (at + 1) % queue->len) {
        uint8_t raw[DESCRIPTOR_SIZE];
        if (pci_dma_read(pci, queue->base + at * DESCRIPTOR_SIZE, raw, sizeof(raw)) != MEMTX_OK) {
            stop(s, index, "bad address of a descriptor");
            return false;
        }
        uint64_t word = ldq_le_p(raw + 8);
        packet->descriptors++;
        if ((word & 0xf) == TYPE_CONTEXT) {
            packet->offload.segment = word >> COMMAND_SHIFT & CONTEXT_SEGMENT;
            packet->offload.segment_size = word >> SEGMENT_SIZE_SHIFT;
        } else if ((word & 0xf) != TYPE_DATA) {
            stop(s, index, "unknown type of a descriptor");
            return false;
        } else if (!add_data(s, pci, packet, ldq_le_p(raw), word)) {
            stop(s, index, "bad size or address of a buffer");
            return false;
        }
    }
    return true;
}

/* Reports the descriptors of a sent frame. Returns whether the driver wants an interrupt. */
static bool report(X710State *s, Queue *queue, unsigned descriptors)
{
    PCIDevice *pci = x710_function(s, queue->function);
    bool wanted = false;

    for (unsigned i = 0; i < descriptors; i++) {
        dma_addr_t descriptor = queue->base + queue->head * DESCRIPTOR_SIZE;
        uint8_t raw[8];
        queue->head = (queue->head + 1) % queue->len;
        if (pci_dma_read(pci, descriptor + 8, raw, sizeof(raw)) != MEMTX_OK) {
            continue;
        }
        uint64_t word = ldq_le_p(raw);
        if ((word & 0xf) == TYPE_DATA && (word >> COMMAND_SHIFT & COMMAND_REPORT)) {
            wanted = true;
            if (!queue->write_head) {
                stq_le_p(raw, word | TYPE_DONE);
                pci_dma_write(pci, descriptor + 8, raw, sizeof(raw));
            }
        }
    }
    if (queue->write_head) {
        uint8_t raw[4];
        stl_le_p(raw, queue->head);
        pci_dma_write(pci, queue->head_address, raw, sizeof(raw));
    }
    return wanted;
}

/*
 * Sends one frame of a driver. `frame` has room for a tag in front of it.
 *
 * A port VLAN inserts its tag; the driver may then send no tag of its own.
 */
void x710_send_frame(X710State *s, unsigned vsi, uint8_t *frame, size_t length)
{
    uint8_t flags = s->vsis[vsi].context[CONTEXT_VLAN_FLAGS];

    if (flags & VLAN_INSERT_PVID) {
        bool tagged = lduw_be_p(frame + MACS_SIZE) == ETH_P_VLAN;
        if (tagged && (flags & VLAN_MODE_MASK) == VLAN_MODE_PORT) {
            x710_count(s, GLV_TEPC(vsi), 1);
            return;
        }
        memmove(frame - TAG_SIZE, frame, MACS_SIZE);
        frame -= TAG_SIZE;
        length += TAG_SIZE;
        stw_be_p(frame + MACS_SIZE, ETH_P_VLAN);
        stw_be_p(frame + MACS_SIZE + 2, lduw_le_p(s->vsis[vsi].context + CONTEXT_PVID));
    }
    if (!x710_accept_from_driver(s, vsi, frame, length)) {
        x710_count(s, GLV_TEPC(vsi), 1);
        return;
    }
    x710_count_sent(s, vsi, frame, length);
    x710_deliver(s, vsi, frame, length);
}

static bool send_packet(X710State *s, unsigned index, Packet *packet)
{
    unsigned vsi = s->tx[index].vsi;
    uint8_t *frame = s->frame + TAG_SIZE;

    if (packet->length < ETH_HLEN || (!packet->offload.segment && packet->length > MAX_FRAME)) {
        stop(s, index, "bad length of a frame");
        return false;
    }
    if (packet->length < MIN_FRAME) {
        memset(frame + packet->length, 0, MIN_FRAME - packet->length);
        packet->length = MIN_FRAME;
    }
    if (packet->tagged) {
        memmove(frame + MACS_SIZE + TAG_SIZE, frame + MACS_SIZE, packet->length - MACS_SIZE);
        stw_be_p(frame + MACS_SIZE, ETH_P_VLAN);
        stw_be_p(frame + MACS_SIZE + 2, packet->tag);
        packet->length += TAG_SIZE;
        packet->offload.l2_length += TAG_SIZE;
    }
    x710_send_offloaded(s, vsi, packet->length, &packet->offload);
    return true;
}

void x710_transmit(X710State *s, unsigned index)
{
    Queue *queue = &s->tx[index];
    uint32_t tail = *x710_register(s, QTX_TAIL(index));
    bool interrupt = false;

    if (!queue->enabled || !x710_function(s, queue->function) || !s->vsis[queue->vsi].used) {
        return;
    }
    if (tail >= queue->len) {
        stop(s, index, "the tail is outside the descriptors");
        return;
    }
    /* A guest that makes the device write to another function's registers could come back here. */
    if (s->transmitting) {
        x710_journal(s, "TX queue %u: written during a transmission", index);
        return;
    }
    s->transmitting = true;
    while (queue->enabled && queue->head != tail) {
        Packet packet;
        if (!collect(s, index, tail, &packet) || !packet.complete || !send_packet(s, index, &packet)) {
            break;
        }
        /* A guest may have made the device write to its own registers, and so to this queue's. */
        interrupt |= queue->enabled && report(s, queue, packet.descriptors);
    }
    s->transmitting = false;
    if (interrupt) {
        x710_raise_queue(s, queue, QINT_TQCTL(index));
    }
}
