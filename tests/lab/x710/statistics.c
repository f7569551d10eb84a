/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of the port and of the VSIs.
 */
#include "device.h"
#include "admin_queue.h"

/* Adds to a counter of 48 bits. */
void x710_count(X710State *s, uint32_t register_low, uint64_t amount)
{
    uint32_t *low = x710_register(s, register_low), *high = low + 1;
    uint64_t value = ((uint64_t)*high << 32 | *low) + amount;

    *low = value;
    *high = value >> 32 & 0xffff;
}

/* Counts a frame in the counter of its class. */
static void count_frame(X710State *s, const uint8_t *frame, uint32_t unicast, uint32_t multicast, uint32_t broadcast)
{
    static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (memcmp(frame, all, 6) == 0) {
        x710_count(s, broadcast, 1);
    } else {
        x710_count(s, frame[0] & 1 ? multicast : unicast, 1);
    }
}

void x710_count_received(X710State *s, unsigned vsi, const uint8_t *frame, size_t length)
{
    x710_count(s, GLV_GORC(vsi), length);
    count_frame(s, frame, GLV_UPRC(vsi), GLV_MPRC(vsi), GLV_BPRC(vsi));
}

void x710_count_sent(X710State *s, unsigned vsi, const uint8_t *frame, size_t length)
{
    x710_count(s, GLV_GOTC(vsi), length);
    count_frame(s, frame, GLV_UPTC(vsi), GLV_MPTC(vsi), GLV_BPTC(vsi));
}

void x710_count_on_port(X710State *s, bool sent, const uint8_t *frame, size_t length)
{
    x710_count(s, sent ? GLPRT_GOTC : GLPRT_GORC, length);
    if (sent) {
        count_frame(s, frame, GLPRT_UPTC, GLPRT_MPTC, GLPRT_BPTC);
    } else {
        count_frame(s, frame, GLPRT_UPRC, GLPRT_MPRC, GLPRT_BPRC);
    }
}
