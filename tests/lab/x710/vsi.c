/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of the internal switch: VSIs, VEBs, filters, promiscuity of a VLAN.
 */
#include "device.h"
#include "admin_queue.h"

/* After a reset there is only the PF's VSI, which has all queues. */
void x710_reset_switch(X710State *s)
{
    Vsi *main_vsi = &s->vsis[0];

    memset(s->vsis, 0, sizeof(s->vsis));
    memset(s->vebs, 0, sizeof(s->vebs));
    s->filter_count = 0;
    s->vlan_promisc_count = 0;
    main_vsi->used = 1;
    main_vsi->type = VSI_TYPE_PF;
    main_vsi->uplink = SEID_MAC;
    main_vsi->context[CONTEXT_VLAN_FLAGS] = VLAN_MODE_ALL;
}

/* The index of a VSI, or -1. */
int x710_vsi_by_seid(X710State *s, uint16_t seid)
{
    unsigned vsi = seid - SEID_MAIN_VSI;

    return seid >= SEID_MAIN_VSI && vsi < VSIS && s->vsis[vsi].used ? (int)vsi : -1;
}

static bool has_queue(const Vsi *vsi, unsigned queue)
{
    if (lduw_le_p(vsi->context + CONTEXT_MAPPING_FLAGS) & MAPPING_LIST) {
        /* Behind the last queue the list is 0, and queue 0 is always the PF's. */
        for (unsigned i = 0; i < CONTEXT_QUEUES_COUNT; i++) {
            unsigned entry = lduw_le_p(vsi->context + CONTEXT_QUEUES + 2 * i) & VPLAN_QTABLE_QINDEX;
            if (i > 0 && entry == 0) {
                return false;
            }
            if (entry == queue) {
                return true;
            }
        }
        return false;
    }
    unsigned first = lduw_le_p(vsi->context + CONTEXT_QUEUES);
    unsigned tc = lduw_le_p(vsi->context + CONTEXT_TCS);
    return queue >= first && queue < first + (tc & 0x1ff) + (1u << (tc >> 9 & 7));
}

/* The VSI that owns a queue, or -1. */
int x710_vsi_of_queue(X710State *s, unsigned queue)
{
    /* The PF's VSI last: its power of two may cover queues of VFs. */
    for (int vsi = VSIS - 1; vsi >= 0; vsi--) {
        if (s->vsis[vsi].used && has_queue(&s->vsis[vsi], queue)) {
            return vsi;
        }
    }
    return -1;
}

/* The queue that gets all frames of a VSI, because the device does not spread them. */
int x710_first_queue(const Vsi *vsi)
{
    unsigned queue = lduw_le_p(vsi->context + CONTEXT_QUEUES) & VPLAN_QTABLE_QINDEX;

    return queue < QUEUES ? (int)queue : -1;
}

void x710_remove_vsi(X710State *s, unsigned vsi)
{
    uint32_t kept = 0;

    s->vsis[vsi].used = 0;
    for (uint32_t i = 0; i < s->filter_count; i++) {
        if (s->filters[i].vsi != vsi) {
            s->filters[kept++] = s->filters[i];
        }
    }
    s->filter_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < s->vlan_promisc_count; i++) {
        if (s->vlan_promiscs[i].vsi != vsi) {
            s->vlan_promiscs[kept++] = s->vlan_promiscs[i];
        }
    }
    s->vlan_promisc_count = kept;
}

static bool same_filter(const Filter *one, const Filter *two)
{
    return one->vsi == two->vsi && memcmp(one->mac, two->mac, 6) == 0 && one->any_vlan == two->any_vlan &&
           (one->any_vlan || one->vlan == two->vlan);
}

bool x710_add_filter(X710State *s, const Filter *filter)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        if (same_filter(&s->filters[i], filter)) {
            return true;
        }
    }
    if (s->filter_count == FILTERS) {
        return false;
    }
    s->filters[s->filter_count++] = *filter;
    return true;
}

bool x710_remove_filter(X710State *s, const Filter *filter)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        if (same_filter(&s->filters[i], filter)) {
            s->filters[i] = s->filters[--s->filter_count];
            return true;
        }
    }
    return false;
}

bool x710_filter_matches(X710State *s, unsigned vsi, const uint8_t *mac, uint16_t vlan)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        const Filter *filter = &s->filters[i];
        if (filter->vsi == vsi && memcmp(filter->mac, mac, 6) == 0 && (filter->any_vlan || filter->vlan == vlan)) {
            return true;
        }
    }
    return false;
}

static VlanPromisc *find_promisc(X710State *s, unsigned vsi, uint16_t vlan)
{
    for (uint32_t i = 0; i < s->vlan_promisc_count; i++) {
        if (s->vlan_promiscs[i].vsi == vsi && s->vlan_promiscs[i].vlan == vlan) {
            return &s->vlan_promiscs[i];
        }
    }
    return NULL;
}

uint16_t x710_promisc_on_vlan(X710State *s, unsigned vsi, uint16_t vlan)
{
    VlanPromisc *found = find_promisc(s, vsi, vlan);

    return found ? found->promisc : 0;
}

void x710_set_promisc_on_vlan(X710State *s, unsigned vsi, uint16_t vlan, uint16_t flags, uint16_t valid)
{
    VlanPromisc *entry = find_promisc(s, vsi, vlan);

    if (!entry) {
        if (!(flags & valid)) {
            return;
        }
        if (s->vlan_promisc_count == VLAN_PROMISCS) {
            x710_journal(s, "the table of promiscuous VLANs is full");
            return;
        }
        entry = &s->vlan_promiscs[s->vlan_promisc_count++];
        *entry = (VlanPromisc) { .vsi = vsi, .vlan = vlan };
    }
    entry->promisc = (entry->promisc & ~valid) | (flags & valid);
    if (!entry->promisc) {
        *entry = s->vlan_promiscs[--s->vlan_promisc_count];
    }
}
