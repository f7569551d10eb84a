/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the admin queue about the internal switch: VSIs, VEBs, filters, promiscuity, bandwidth.
 */
#include "device.h"
#include "admin_queue.h"

#define CONTEXT_SIZE 128
#define ELEMENT_VSI 19
#define ELEMENT_SIZE 16
#define TC0 0x01

/* The part of a context that each section covers. */
static const struct {
    uint16_t section;
    unsigned first, last;
} sections[] = {
    { SECTION_SWITCH, CONTEXT_SWITCH_ID, CONTEXT_SECURITY - 1 },
    { SECTION_SECURITY, CONTEXT_SECURITY, CONTEXT_PVID - 1 },
    { SECTION_VLAN, CONTEXT_PVID, 15 },
    { SECTION_QUEUE_MAP, CONTEXT_MAPPING_FLAGS, CONTEXT_QUEUE_OPTIONS - 1 },
    { SECTION_QUEUE_OPTIONS, CONTEXT_QUEUE_OPTIONS, CONTEXT_SCHEDULER - 1 },
    { SECTION_SCHEDULER, CONTEXT_SCHEDULER, CONTEXT_OUTER - 1 },
};

static uint16_t seid_of(const AqCommand *command)
{
    return lduw_le_p(command->parameters);
}

static void merge_context(Vsi *vsi, const uint8_t *from)
{
    uint16_t valid = lduw_le_p(from + CONTEXT_SECTIONS);

    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        if (valid & sections[i].section) {
            memcpy(vsi->context + sections[i].first, from + sections[i].first,
                   sections[i].last - sections[i].first + 1);
        }
    }
}

/* Handles of queue sets are numbers of VSIs: a TX queue's context names its VSI by one. */
static void fill_handles(uint8_t *handles, unsigned vsi)
{
    stw_le_p(handles, vsi);
    for (unsigned tc = 1; tc < 8; tc++) {
        stw_le_p(handles + 2 * tc, 0xffff);
    }
}

static void answer_vsi(X710State *s, AqCommand *command, unsigned vsi)
{
    unsigned used = 0;

    for (unsigned i = 0; i < VSIS; i++) {
        used += s->vsis[i].used;
    }
    memcpy(command->buffer, s->vsis[vsi].context, CONTEXT_SIZE);
    stw_le_p(command->buffer + CONTEXT_SECTIONS, 0);
    fill_handles(command->buffer + CONTEXT_QS_HANDLES, vsi);
    stw_le_p(command->buffer + CONTEXT_STATISTICS, vsi);
    stw_le_p(command->parameters, SEID_MAIN_VSI + vsi);
    /* The driver takes VSI number 0 for none. */
    stw_le_p(command->parameters + 2, vsi + 1);
    stw_le_p(command->parameters + 4, used);
    stw_le_p(command->parameters + 6, VSIS - used);
}

static uint16_t add_vsi(X710State *s, AqCommand *command)
{
    uint16_t flags = lduw_le_p(command->parameters + 6) & VSI_TYPE_MASK;
    unsigned index = 0;

    if (command->length < CONTEXT_SIZE || (flags == VSI_TYPE_VF && command->parameters[4] >= VFS)) {
        return AQ_EINVAL;
    }
    while (index < VSIS && s->vsis[index].used) {
        index++;
    }
    if (index == VSIS) {
        return AQ_ENOSPC;
    }
    Vsi *vsi = &s->vsis[index];
    *vsi = (Vsi) { .used = 1, .type = flags, .vf = command->parameters[4], .uplink = seid_of(command) };
    vsi->context[CONTEXT_VLAN_FLAGS] = VLAN_MODE_ALL;
    merge_context(vsi, command->buffer);
    answer_vsi(s, command, index);
    return AQ_OK;
}

static uint16_t update_or_get_vsi(X710State *s, AqCommand *command)
{
    int vsi = x710_vsi_by_seid(s, seid_of(command));

    if (vsi < 0) {
        return AQ_ENOENT;
    }
    if (command->length < CONTEXT_SIZE) {
        return AQ_EINVAL;
    }
    if (command->descriptor->opcode == AQ_UPDATE_VSI) {
        merge_context(&s->vsis[vsi], command->buffer);
    }
    answer_vsi(s, command, vsi);
    return AQ_OK;
}

static uint16_t add_veb(X710State *s, AqCommand *command)
{
    for (unsigned i = 0; i < VEBS; i++) {
        if (!s->vebs[i].used) {
            s->vebs[i] = (Veb) { 1, seid_of(command), lduw_le_p(command->parameters + 2) };
            stw_le_p(command->parameters + 6, 0);
            stw_le_p(command->parameters + 8, SEID_FIRST_VEB + i);
            stw_le_p(command->parameters + 10, i);
            stw_le_p(command->parameters + 12, i + 1);
            stw_le_p(command->parameters + 14, VEBS - i - 1);
            return AQ_OK;
        }
    }
    return AQ_ENOSPC;
}

static Veb *veb_by_seid(X710State *s, uint16_t seid)
{
    unsigned veb = seid - SEID_FIRST_VEB;

    return seid >= SEID_FIRST_VEB && veb < VEBS && s->vebs[veb].used ? &s->vebs[veb] : NULL;
}

static uint16_t get_veb(X710State *s, AqCommand *command)
{
    Veb *veb = veb_by_seid(s, seid_of(command));

    if (!veb) {
        return AQ_ENOENT;
    }
    memset(command->parameters + 2, 0, 14);
    stw_le_p(command->parameters + 6, veb - s->vebs);
    return AQ_OK;
}

static uint16_t delete_element(X710State *s, AqCommand *command)
{
    Veb *veb = veb_by_seid(s, seid_of(command));
    int vsi = x710_vsi_by_seid(s, seid_of(command));

    if (veb) {
        veb->used = 0;
    } else if (vsi > 0) {
        x710_remove_vsi(s, vsi);
    } else {
        return AQ_ENOENT;
    }
    return AQ_OK;
}

static uint16_t get_switch_config(AqCommand *command)
{
    uint8_t *element = command->buffer + ELEMENT_SIZE;

    if (command->length < 2 * ELEMENT_SIZE) {
        return AQ_EINVAL;
    }
    memset(command->buffer, 0, 2 * ELEMENT_SIZE);
    stw_le_p(command->buffer, 1);
    stw_le_p(command->buffer + 2, 1);
    element[0] = ELEMENT_VSI;
    stw_le_p(element + 2, SEID_MAIN_VSI);
    stw_le_p(element + 4, SEID_MAC);
    stw_le_p(element + 6, SEID_PF);
    /* No more elements. */
    stw_le_p(command->parameters, 0);
    return AQ_OK;
}

#define FILTER_SIZE 16

static uint16_t change_filters(X710State *s, AqCommand *command)
{
    bool add = command->descriptor->opcode == AQ_ADD_MACVLAN;
    int vsi = x710_vsi_by_seid(s, lduw_le_p(command->parameters + 2) & 0x3ff);
    unsigned count = lduw_le_p(command->parameters);
    uint16_t result = AQ_OK;

    if (vsi < 0) {
        return AQ_ENOENT;
    }
    if (command->length < count * FILTER_SIZE) {
        return AQ_EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = command->buffer + i * FILTER_SIZE;
        Filter filter = { .vsi = vsi, .vlan = lduw_le_p(entry + 6) & VLAN_ID_MASK };
        memcpy(filter.mac, entry, 6);
        if (add) {
            filter.any_vlan = (lduw_le_p(entry + 8) & ADD_FILTER_ANY_VLAN) != 0;
            /* The method of the match: 1 is a perfect match, 255 no resources. */
            bool added = x710_add_filter(s, &filter);
            entry[12] = added ? 1 : 0xff;
            result = added ? result : AQ_ENOSPC;
        } else {
            filter.any_vlan = (entry[8] & REMOVE_FILTER_ANY_VLAN) != 0;
            bool removed = x710_remove_filter(s, &filter);
            entry[12] = removed ? 0 : 0xff;
            result = removed ? result : AQ_ENOENT;
        }
    }
    stw_le_p(command->parameters, s->filter_count);
    stw_le_p(command->parameters + 2, FILTERS - s->filter_count);
    return result;
}

static uint16_t set_promisc(X710State *s, const uint8_t *parameters)
{
    uint16_t flags = lduw_le_p(parameters), valid = lduw_le_p(parameters + 2);
    uint16_t vlan = lduw_le_p(parameters + 6);
    int vsi = x710_vsi_by_seid(s, lduw_le_p(parameters + 4));

    if (vsi < 0) {
        return AQ_ENOENT;
    }
    if (vlan & PROMISC_VLAN_VALID) {
        valid &= ~PROMISC_RX_ONLY;
        x710_set_promisc_on_vlan(s, vsi, vlan & VLAN_ID_MASK, flags, valid);
    } else {
        s->vsis[vsi].promisc = (s->vsis[vsi].promisc & ~valid) | (flags & valid);
    }
    return AQ_OK;
}

/* The bandwidth of everything is one traffic class without a limit. The answers differ in where its bit map is. */
static uint16_t answer_bandwidth(AqCommand *command, size_t size, size_t tc_offset, size_t share_offset)
{
    if (command->length < size) {
        return AQ_EINVAL;
    }
    memset(command->buffer, 0, size);
    command->buffer[tc_offset] = TC0;
    if (share_offset) {
        command->buffer[share_offset] = 100;
    }
    return AQ_OK;
}

static uint16_t run_bandwidth_command(X710State *s, AqCommand *command)
{
    int vsi = x710_vsi_by_seid(s, seid_of(command));
    uint16_t result;

    switch (command->descriptor->opcode) {
    case AQ_SET_VSI_BW_LIMIT:
        return vsi < 0 ? AQ_ENOENT : AQ_OK;
    case AQ_SET_VSI_TC_BW:
        if (vsi < 0 || command->length < 32) {
            return AQ_EINVAL;
        }
        fill_handles(command->buffer + 16, vsi);
        return AQ_OK;
    case AQ_GET_VSI_BW:
        result = vsi < 0 ? AQ_ENOENT : answer_bandwidth(command, 64, 0, 0);
        if (result == AQ_OK) {
            fill_handles(command->buffer + 16, vsi);
        }
        return result;
    case AQ_GET_VSI_ETS:
        return vsi < 0 ? AQ_ENOENT : answer_bandwidth(command, 32, 0, 4);
    case AQ_GET_VEB_ETS:
        return answer_bandwidth(command, 64, 0, 0);
    case AQ_GET_PORT_ETS:
        return answer_bandwidth(command, 68, 4, 8);
    case AQ_GET_VEB_BW:
        return answer_bandwidth(command, 32, 0, 4);
    default:
        return AQ_UNKNOWN;
    }
}

uint16_t x710_run_switch_command(X710State *s, AqCommand *command)
{
    switch (command->descriptor->opcode) {
    case AQ_GET_SWITCH_CONFIG:
        return get_switch_config(command);
    case AQ_ADD_VSI:
        return add_vsi(s, command);
    case AQ_UPDATE_VSI:
    case AQ_GET_VSI:
        return update_or_get_vsi(s, command);
    case AQ_ADD_VEB:
        return add_veb(s, command);
    case AQ_GET_VEB:
        return get_veb(s, command);
    case AQ_DELETE_ELEMENT:
        return delete_element(s, command);
    case AQ_ADD_MACVLAN:
    case AQ_REMOVE_MACVLAN:
        return change_filters(s, command);
    case AQ_SET_VSI_PROMISC:
        return set_promisc(s, command->parameters);
    default:
        return run_bandwidth_command(s, command);
    }
}
