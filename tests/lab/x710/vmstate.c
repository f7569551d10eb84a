/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state in a snapshot.
 */
#include "device.h"
#include "hw/pci/msix.h"
#include "migration/vmstate.h"

static const VMStateDescription vmstate_ring = {
    .name = "x710/ring",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(base_low, AdminRing),
        VMSTATE_UINT32(base_high, AdminRing),
        VMSTATE_UINT32(len, AdminRing),
        VMSTATE_UINT32(head, AdminRing),
        VMSTATE_UINT32(tail, AdminRing),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_vf = {
    .name = "x710/vf",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(atq, Vf, 1, vmstate_ring, AdminRing),
        VMSTATE_STRUCT(arq, Vf, 1, vmstate_ring, AdminRing),
        VMSTATE_UINT8_ARRAY(pending, Vf, VF_VECTORS),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_vsi = {
    .name = "x710/vsi",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(used, Vsi),
        VMSTATE_UINT8(type, Vsi),
        VMSTATE_UINT8(vf, Vsi),
        VMSTATE_UINT16(uplink, Vsi),
        VMSTATE_UINT16(promisc, Vsi),
        VMSTATE_UINT8_ARRAY(context, Vsi, 128),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_veb = {
    .name = "x710/veb",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(used, Veb),
        VMSTATE_UINT16(uplink, Veb),
        VMSTATE_UINT16(downlink, Veb),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_filter = {
    .name = "x710/filter",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(vsi, Filter),
        VMSTATE_UINT8_ARRAY(mac, Filter, 6),
        VMSTATE_UINT16(vlan, Filter),
        VMSTATE_UINT8(any_vlan, Filter),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_vlan_promisc = {
    .name = "x710/vlan-promisc",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(vsi, VlanPromisc),
        VMSTATE_UINT16(vlan, VlanPromisc),
        VMSTATE_UINT16(promisc, VlanPromisc),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_queue = {
    .name = "x710/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(enabled, Queue),
        VMSTATE_INT16(function, Queue),
        VMSTATE_UINT16(vsi, Queue),
        VMSTATE_UINT16(head, Queue),
        VMSTATE_UINT16(len, Queue),
        VMSTATE_UINT64(base, Queue),
        VMSTATE_UINT8(write_head, Queue),
        VMSTATE_UINT64(head_address, Queue),
        VMSTATE_UINT16(buffer_size, Queue),
        VMSTATE_UINT16(max_frame, Queue),
        VMSTATE_UINT8(descriptor_size, Queue),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_segment = {
    .name = "x710/segment",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(low, SegmentDescriptor),
        VMSTATE_UINT32(high, SegmentDescriptor),
        VMSTATE_END_OF_LIST()
    }
};

/* Most registers are 0, and 4 MiB for each card would be most of a snapshot. */
static int pre_save(void *opaque)
{
    X710State *s = opaque;
    uint32_t count = 0;

    for (uint32_t i = 0; i < PF_REGISTERS_SIZE / 4; i++) {
        count += s->registers[i] != 0;
    }
    g_free(s->saved);
    s->saved = g_new(uint32_t, 2 * count);
    s->saved_count = 0;
    for (uint32_t i = 0; i < PF_REGISTERS_SIZE / 4; i++) {
        if (s->registers[i] != 0) {
            s->saved[s->saved_count++] = i;
            s->saved[s->saved_count++] = s->registers[i];
        }
    }
    return 0;
}

static int pre_load(void *opaque)
{
    X710State *s = opaque;

    g_free(s->saved);
    s->saved = NULL;
    s->saved_count = 0;
    return 0;
}

static int check_loaded(X710State *s)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        const Queue *queues[] = { &s->tx[i], &s->rx[i] };
        for (unsigned j = 0; j < 2; j++) {
            const Queue *queue = queues[j];
            if (queue->enabled && (queue->len == 0 || queue->head >= queue->len || queue->vsi >= VSIS ||
                                   queue->function < PF || queue->function >= VFS ||
                                   (j == 1 && queue->buffer_size == 0))) {
                return -EINVAL;
            }
        }
    }
    return s->filter_count > FILTERS || s->vlan_promisc_count > VLAN_PROMISCS ? -EINVAL : 0;
}

static int post_load(void *opaque, int version)
{
    X710State *s = opaque;

    memset(s->registers, 0, PF_REGISTERS_SIZE);
    for (uint32_t i = 0; i + 1 < s->saved_count; i += 2) {
        if (s->saved[i] >= PF_REGISTERS_SIZE / 4) {
            return -EINVAL;
        }
        s->registers[s->saved[i]] = s->saved[i + 1];
    }
    return check_loaded(s);
}

/*
 * QEMU makes the VFs while it makes the PF, so it would load their states first. Loading the PF's state then enables
 * the VFs, which resets them. So the PF's state is loaded before all PCI devices.
 */
const VMStateDescription x710_vmstate = {
    .name = TYPE_X710,
    .version_id = 1,
    .minimum_version_id = 1,
    .priority = MIG_PRI_IOMMU,
    .pre_save = pre_save,
    .pre_load = pre_load,
    .post_load = post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, X710State),
        VMSTATE_MSIX(parent_obj, X710State),
        VMSTATE_UINT32(saved_count, X710State),
        VMSTATE_VARRAY_UINT32_ALLOC(saved, X710State, saved_count, 1, vmstate_info_uint32, uint32_t),
        VMSTATE_STRUCT(atq, X710State, 1, vmstate_ring, AdminRing),
        VMSTATE_STRUCT(arq, X710State, 1, vmstate_ring, AdminRing),
        VMSTATE_UINT8_ARRAY(pending, X710State, PF_VECTORS),
        VMSTATE_STRUCT_ARRAY(vfs, X710State, VFS, 1, vmstate_vf, Vf),
        VMSTATE_STRUCT_ARRAY(vsis, X710State, VSIS, 1, vmstate_vsi, Vsi),
        VMSTATE_STRUCT_ARRAY(vebs, X710State, VEBS, 1, vmstate_veb, Veb),
        VMSTATE_UINT32(filter_count, X710State),
        VMSTATE_STRUCT_ARRAY(filters, X710State, FILTERS, 1, vmstate_filter, Filter),
        VMSTATE_UINT32(vlan_promisc_count, X710State),
        VMSTATE_STRUCT_ARRAY(vlan_promiscs, X710State, VLAN_PROMISCS, 1, vmstate_vlan_promisc, VlanPromisc),
        VMSTATE_STRUCT_ARRAY(tx, X710State, QUEUES, 1, vmstate_queue, Queue),
        VMSTATE_STRUCT_ARRAY(rx, X710State, QUEUES, 1, vmstate_queue, Queue),
        VMSTATE_STRUCT_ARRAY(segments, X710State, SEGMENTS, 1, vmstate_segment, SegmentDescriptor),
        VMSTATE_UINT8_ARRAY(mac, X710State, 6),
        VMSTATE_UINT8(link_events, X710State),
        VMSTATE_UINT8(link_disabled, X710State),
        VMSTATE_UINT8(link_event_pending, X710State),
        VMSTATE_UINT8(limited_promisc, X710State),
        VMSTATE_END_OF_LIST()
    }
};

/* The rest of a VF's state is the PF's. */
const VMStateDescription x710_vf_vmstate = {
    .name = TYPE_X710_VF,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, X710VfState),
        VMSTATE_MSIX(parent_obj, X710VfState),
        VMSTATE_END_OF_LIST()
    }
};
