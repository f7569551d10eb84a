/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The property `vsi-table`: what the drivers told the internal switch, as JSON.
 */
#include "device.h"
#include "admin_queue.h"

static const char *type_name(uint8_t type)
{
    switch (type) {
    case VSI_TYPE_VF: return "vf";
    case VSI_TYPE_VMDQ: return "vmdq";
    default: return "pf";
    }
}

static const char *strip_name(uint8_t flags)
{
    switch (flags & VLAN_STRIP_MASK) {
    case VLAN_STRIP: return "hide";
    case VLAN_STRIP_NOTHING: return "keep";
    default: return "descriptor";
    }
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

static void append_promisc(GString *json, uint16_t promisc)
{
    g_string_append_printf(json, "\"unicast\":%s,\"multicast\":%s,\"broadcast\":%s",
                           boolean(promisc & PROMISC_UNICAST), boolean(promisc & PROMISC_MULTICAST),
                           boolean(promisc & PROMISC_BROADCAST));
}

static void append_filters(X710State *s, GString *json, unsigned vsi)
{
    const char *comma = "";

    g_string_append(json, ",\"filters\":[");
    for (uint32_t i = 0; i < s->filter_count; i++) {
        const Filter *f = &s->filters[i];
        if (f->vsi == vsi) {
            g_string_append_printf(json, "%s{\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"vlan\":", comma, f->mac[0],
                                   f->mac[1], f->mac[2], f->mac[3], f->mac[4], f->mac[5]);
            if (f->any_vlan) {
                g_string_append(json, "null}");
            } else {
                g_string_append_printf(json, "%u}", f->vlan);
            }
            comma = ",";
        }
    }
    g_string_append(json, "],\"promisc_on_vlans\":[");
    comma = "";
    for (uint32_t i = 0; i < s->vlan_promisc_count; i++) {
        const VlanPromisc *entry = &s->vlan_promiscs[i];
        if (entry->vsi == vsi) {
            g_string_append_printf(json, "%s{\"vlan\":%u,", comma, entry->vlan);
            append_promisc(json, entry->promisc);
            g_string_append(json, "}");
            comma = ",";
        }
    }
    g_string_append(json, "]");
}

static void append_vsi(X710State *s, GString *json, unsigned index)
{
    const Vsi *vsi = &s->vsis[index];
    uint8_t vlan_flags = vsi->context[CONTEXT_VLAN_FLAGS], security = vsi->context[CONTEXT_SECURITY];

    g_string_append_printf(json, "{\"seid\":%u,\"number\":%u,\"type\":\"%s\",\"vf\":", SEID_MAIN_VSI + index, index + 1,
                           type_name(vsi->type));
    if (vsi->type == VSI_TYPE_VF) {
        g_string_append_printf(json, "%u", vsi->vf);
    } else {
        g_string_append(json, "null");
    }
    if (vlan_flags & VLAN_INSERT_PVID) {
        g_string_append_printf(json, ",\"pvid\":%u", lduw_le_p(vsi->context + CONTEXT_PVID));
    } else {
        g_string_append(json, ",\"pvid\":null");
    }
    g_string_append_printf(json, ",\"tag\":\"%s\",\"mac_check\":%s,\"vlan_check\":%s,\"loopback\":%s,\"default\":%s,",
                           strip_name(vlan_flags), boolean(security & SECURITY_MAC_CHECK),
                           boolean(security & SECURITY_VLAN_CHECK),
                           boolean(lduw_le_p(vsi->context + CONTEXT_SWITCH_ID) & SWITCH_ALLOW_LOOPBACK),
                           boolean(vsi->promisc & PROMISC_DEFAULT));
    append_promisc(json, vsi->promisc);
    append_filters(s, json, index);
    g_string_append(json, "}");
}

char *x710_vsi_table(Object *object, Error **errp)
{
    X710State *s = X710(object);
    GString *json = g_string_new(NULL);
    const char *comma = "";

    g_string_append_printf(json, "{\"link\":%s,\"limited_promisc\":%s,\"vsis\":[",
                           boolean(x710_link_up(s)), boolean(s->limited_promisc));
    for (unsigned i = 0; i < VSIS; i++) {
        if (s->vsis[i].used) {
            g_string_append(json, comma);
            append_vsi(s, json, i);
            comma = ",";
        }
    }
    g_string_append(json, "]}");
    return g_string_free(json, FALSE);
}
