/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of the internal switch: which frame a VSI may send, and which VSIs get a frame.
 *
 * The rules are a reading of the driver and its headers, not measurements of silicon (README.md).
 */
#include "device.h"
#include "admin_queue.h"
#include "net/eth.h"

#define TAG_SIZE 4
#define MAC_SIZE 6

static bool is_tagged(const uint8_t *frame, size_t length)
{
    return length >= 14 + TAG_SIZE && lduw_be_p(frame + 12) == ETH_P_VLAN;
}

static uint16_t vlan_of(const uint8_t *frame, size_t length)
{
    return is_tagged(frame, length) ? lduw_be_p(frame + 14) & VLAN_ID_MASK : 0;
}

static bool vlan_is_allowed(X710State *s, unsigned vsi, uint16_t vlan)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        const Filter *filter = &s->filters[i];
        if (filter->vsi == vsi && (filter->any_vlan || filter->vlan == vlan)) {
            return true;
        }
    }
    return false;
}

/* The checks against spoofing, of a frame whose tag is already that of the port VLAN. */
bool x710_accept_from_driver(X710State *s, unsigned vsi, const uint8_t *frame, size_t length)
{
    uint8_t security = s->vsis[vsi].context[CONTEXT_SECURITY];
    uint16_t vlan = vlan_of(frame, length);

    if ((security & SECURITY_MAC_CHECK) && !x710_filter_matches(s, vsi, frame + MAC_SIZE, vlan)) {
        return false;
    }
    return !(security & SECURITY_VLAN_CHECK) || vlan_is_allowed(s, vsi, vlan);
}

static uint16_t class_of(const uint8_t *frame)
{
    static const uint8_t broadcast[MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (memcmp(frame, broadcast, MAC_SIZE) == 0) {
        return PROMISC_BROADCAST;
    }
    return frame[0] & 1 ? PROMISC_MULTICAST : PROMISC_UNICAST;
}

static void give(X710State *s, unsigned vsi, const uint8_t *frame, size_t length)
{
    x710_count_received(s, vsi, frame, length);
    x710_receive(s, vsi, frame, length);
}

/*
 * Delivers a frame to the VSIs and the wire. A frame of a VSI that may not loop back leaves the device at once. A
 * unicast that matches a filter of another VSI does not go to the wire. The default VSI gets the frames of the wire
 * that match no filter. While promiscuity is limited, a promiscuous VSI gets no unicast that matches another's filter.
 */
void x710_deliver(X710State *s, int source, const uint8_t *frame, size_t length)
{
    uint16_t class = class_of(frame), vlan = vlan_of(frame, length);
    bool local = source == WIRE ||
                 (lduw_le_p(s->vsis[source].context + CONTEXT_SWITCH_ID) & SWITCH_ALLOW_LOOPBACK);
    bool known = false;

    for (unsigned vsi = 0; local && vsi < VSIS; vsi++) {
        if (s->vsis[vsi].used && (int)vsi != source && x710_filter_matches(s, vsi, frame, vlan)) {
            known = true;
        }
    }
    for (unsigned vsi = 0; local && vsi < VSIS; vsi++) {
        if (!s->vsis[vsi].used || (int)vsi == source) {
            continue;
        }
        uint16_t promisc = s->vsis[vsi].promisc | x710_promisc_on_vlan(s, vsi, vlan);
        if (known && s->limited_promisc) {
            promisc &= ~PROMISC_UNICAST;
        }
        bool by_default = source == WIRE && !known && (promisc & PROMISC_DEFAULT);
        if (by_default || (promisc & class) || x710_filter_matches(s, vsi, frame, vlan)) {
            give(s, vsi, frame, length);
        }
    }
    if (source != WIRE && !(known && class == PROMISC_UNICAST) && x710_link_up(s)) {
        x710_count_on_port(s, true, frame, length);
        qemu_send_packet(qemu_get_queue(s->nic), frame, length);
    }
}
