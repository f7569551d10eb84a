/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rings of the admin queues of the PF and the VFs, and the mailbox between them.
 *
 * A driver puts commands into its transmit ring (ATQ). The device puts events into the receive ring (ARQ); its
 * descriptors name buffers of the driver.
 */
#include "device.h"
#include "admin_queue.h"

#define DESCRIPTOR_SIZE 32

static unsigned ring_size(const AdminRing *ring)
{
    return ring->len & AQ_LEN_ENABLE ? ring->len & AQ_LEN_MASK : 0;
}

static dma_addr_t descriptor_address(const AdminRing *ring, unsigned index)
{
    return ((dma_addr_t)ring->base_high << 32 | ring->base_low) + index * DESCRIPTOR_SIZE;
}

static bool read_descriptor(PCIDevice *pci, const AdminRing *ring, unsigned index, AqDescriptor *descriptor)
{
    uint8_t raw[DESCRIPTOR_SIZE];

    if (pci_dma_read(pci, descriptor_address(ring, index), raw, sizeof(raw)) != MEMTX_OK) {
        return false;
    }
    descriptor->flags = lduw_le_p(raw);
    descriptor->opcode = lduw_le_p(raw + 2);
    descriptor->length = lduw_le_p(raw + 4);
    descriptor->result = lduw_le_p(raw + 6);
    descriptor->cookie_high = (uint32_t)ldl_le_p(raw + 8);
    descriptor->cookie_low = (uint32_t)ldl_le_p(raw + 12);
    memcpy(descriptor->parameters, raw + 16, 16);
    return true;
}

static bool write_descriptor(PCIDevice *pci, const AdminRing *ring, unsigned index, const AqDescriptor *descriptor)
{
    uint8_t raw[DESCRIPTOR_SIZE];

    stw_le_p(raw, descriptor->flags);
    stw_le_p(raw + 2, descriptor->opcode);
    stw_le_p(raw + 4, descriptor->length);
    stw_le_p(raw + 6, descriptor->result);
    stl_le_p(raw + 8, descriptor->cookie_high);
    stl_le_p(raw + 12, descriptor->cookie_low);
    memcpy(raw + 16, descriptor->parameters, 16);
    return pci_dma_write(pci, descriptor_address(ring, index), raw, sizeof(raw)) == MEMTX_OK;
}

static dma_addr_t buffer_address(const AqDescriptor *descriptor)
{
    return (dma_addr_t)(uint32_t)ldl_le_p(descriptor->parameters + 8) << 32 |
           (uint32_t)ldl_le_p(descriptor->parameters + 12);
}

/* Reports an error of a driver, and disables the ring, so that the driver notices it. */
static void stop_ring(X710State *s, int function, AdminRing *ring, const char *why)
{
    if (function == PF) {
        x710_journal(s, "admin queue of the PF: %s", why);
    } else {
        x710_journal(s, "admin queue of VF %d: %s", function, why);
    }
    ring->len &= ~AQ_LEN_ENABLE;
}

/* Puts an event into the receive ring of a function. Returns false if the ring has no room. */
static bool post_event(X710State *s, int function, AqDescriptor *event, const uint8_t *data)
{
    PCIDevice *pci = x710_function(s, function);
    AdminRing *ring = function == PF ? &s->arq : &s->vfs[function].arq;
    unsigned size = ring_size(ring);
    AqDescriptor empty;

    if (!pci || !size || ring->head == ring->tail) {
        return false;
    }
    if (ring->head >= size || ring->tail >= size || !read_descriptor(pci, ring, ring->head, &empty)) {
        stop_ring(s, function, ring, "bad receive ring");
        return false;
    }
    if (event->length > empty.length) {
        stop_ring(s, function, ring, "an event is larger than its buffer");
        return false;
    }
    /* An event without a buffer may use all parameters; one with a buffer leaves the buffer's address there. */
    if (event->length) {
        pci_dma_write(pci, buffer_address(&empty), data, event->length);
        memcpy(event->parameters + 8, empty.parameters + 8, 8);
        event->flags |= AQ_FLAG_BUF;
    }
    event->flags |= AQ_FLAG_DD | AQ_FLAG_CMP;
    if (!write_descriptor(pci, ring, ring->head, event)) {
        stop_ring(s, function, ring, "bad address of the receive ring");
        return false;
    }
    ring->head = (ring->head + 1) % size;
    x710_raise_cause(s, function, ICR0_ADMINQ);
    return true;
}

/* Reads the next command of a transmit ring, with its buffer. */
static bool next_command(X710State *s, int function, AdminRing *ring, AqDescriptor *descriptor, uint8_t *buffer)
{
    PCIDevice *pci = x710_function(s, function);
    unsigned size = ring_size(ring);

    if (!pci || !size || ring->head == ring->tail) {
        return false;
    }
    if (ring->head >= size || ring->tail >= size) {
        stop_ring(s, function, ring, "head or tail is outside the ring");
        return false;
    }
    if (!read_descriptor(pci, ring, ring->head, descriptor)) {
        stop_ring(s, function, ring, "bad address of the ring");
        return false;
    }
    if (!(descriptor->flags & AQ_FLAG_BUF)) {
        return true;
    }
    if (descriptor->length > MAX_AQ_BUFFER) {
        stop_ring(s, function, ring, "the buffer of a command is too large");
        return false;
    }
    memset(buffer, 0, MAX_AQ_BUFFER);
    if (pci_dma_read(pci, buffer_address(descriptor), buffer, descriptor->length) != MEMTX_OK) {
        stop_ring(s, function, ring, "bad address of a command's buffer");
        return false;
    }
    return true;
}

static void complete(X710State *s, int function, AdminRing *ring, AqDescriptor *descriptor, uint16_t result)
{
    PCIDevice *pci = x710_function(s, function);
    unsigned size = ring_size(ring);

    descriptor->result = result;
    descriptor->flags |= AQ_FLAG_DD | AQ_FLAG_CMP | (result ? AQ_FLAG_ERR : 0);
    /* The command may have reset the device, and with it the ring. */
    if (pci && size) {
        write_descriptor(pci, ring, ring->head, descriptor);
        ring->head = (ring->head + 1) % size;
    }
}

/* Runs the commands of the PF. */
void x710_run_commands(X710State *s)
{
    uint8_t buffer[MAX_AQ_BUFFER];
    AqDescriptor descriptor;

    /* A command may write a register, and so the tail of this ring. */
    if (s->running_commands) {
        return;
    }
    s->running_commands = true;
    while (next_command(s, PF, &s->atq, &descriptor, buffer)) {
        uint8_t address[8];
        bool has_buffer = descriptor.flags & AQ_FLAG_BUF;
        AqCommand command = { &descriptor, descriptor.parameters, buffer, has_buffer ? descriptor.length : 0 };
        dma_addr_t data = buffer_address(&descriptor);

        memcpy(address, descriptor.parameters + 8, sizeof(address));
        uint16_t result = x710_run_command(s, &command);
        if (result == AQ_UNKNOWN) {
            x710_journal(s, "unknown command 0x%04x", descriptor.opcode);
            result = AQ_ESRCH;
        }
        if (has_buffer) {
            pci_dma_write(PCI_DEVICE(s), data, buffer, descriptor.length);
            memcpy(descriptor.parameters + 8, address, sizeof(address));
        }
        complete(s, PF, &s->atq, &descriptor, result);
    }
    s->running_commands = false;
}

/* Forwards the messages of a VF to the PF. They wait in the VF's ring while the PF's ring has no room. */
void x710_forward_messages(X710State *s, unsigned vf)
{
    AdminRing *ring = &s->vfs[vf].atq;
    uint8_t buffer[MAX_AQ_BUFFER];
    AqDescriptor descriptor;

    while (next_command(s, vf, ring, &descriptor, buffer)) {
        uint16_t result = AQ_OK;

        if (descriptor.opcode == AQ_SEND_TO_PF) {
            AqDescriptor event = {
                .opcode = AQ_SEND_TO_PF,
                .length = descriptor.flags & AQ_FLAG_BUF ? descriptor.length : 0,
                .result = vf,
                .cookie_high = descriptor.cookie_high,
                .cookie_low = descriptor.cookie_low,
            };
            if (!post_event(s, PF, &event, buffer)) {
                return;
            }
        } else if (descriptor.opcode != AQ_QUEUE_SHUTDOWN) {
            x710_journal(s, "unknown command 0x%04x of VF %u", descriptor.opcode, vf);
            result = AQ_ESRCH;
        }
        complete(s, vf, ring, &descriptor, result);
    }
}

void x710_forward_all_messages(X710State *s)
{
    if (s->link_event_pending) {
        x710_send_link_event(s);
    }
    for (unsigned vf = 0; vf < VFS; vf++) {
        x710_forward_messages(s, vf);
    }
}

/* Sends a message of the PF to a VF. */
uint16_t x710_send_to_vf(X710State *s, unsigned vf, const AqCommand *command)
{
    AqDescriptor event = {
        .opcode = AQ_SEND_TO_VF,
        .length = command->length,
        .cookie_high = command->descriptor->cookie_high,
        .cookie_low = command->descriptor->cookie_low,
    };

    return vf < VFS && post_event(s, vf, &event, command->buffer) ? AQ_OK : AQ_EBUSY;
}

/* Tells the PF's driver the state of the link, if it asked for such events. */
void x710_send_link_event(X710State *s)
{
    AqDescriptor event = { .opcode = AQ_GET_LINK_STATUS };

    if (s->link_events) {
        x710_fill_link_status(s, event.parameters);
        s->link_event_pending = !post_event(s, PF, &event, NULL);
    }
}
