/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums and segmentation of sent frames.
 */
#include "device.h"
#include "net/checksum.h"
#include "net/eth.h"

#define TAG_SIZE 4
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define TCP_FLAGS 13
#define TCP_FIN_PSH 0x09

static bool is_ipv4(const uint8_t *ip)
{
    return ip[0] >> 4 == 4;
}

static bool fits(size_t length, const Offload *offload)
{
    size_t l4 = offload->tcp ? 20 : offload->udp ? 8 : 0;
    size_t l3 = l4 || offload->ipv4_checksum || offload->segment ? 20 : 0;

    if (!l3) {
        return true;
    }
    return offload->l2_length >= ETH_HLEN && offload->l3_length >= l3 && offload->l4_length >= l4 &&
           offload->l2_length + offload->l3_length + MAX(l4, offload->l4_length) <= length;
}

static uint32_t sum_of(const uint8_t *data, size_t length)
{
    return net_checksum_add(length, (uint8_t *)data);
}

/* Writes the checksums that the driver left to the device. */
static void write_checksums(uint8_t *frame, size_t length, const Offload *offload)
{
    uint8_t *ip = frame + offload->l2_length, *l4 = ip + offload->l3_length;
    size_t l4_length = length - offload->l2_length - offload->l3_length;
    uint8_t protocol = offload->tcp ? PROTOCOL_TCP : PROTOCOL_UDP;

    if (offload->ipv4_checksum) {
        stw_be_p(ip + 10, 0);
        stw_be_p(ip + 10, net_checksum_finish(sum_of(ip, offload->l3_length)));
    }
    if (offload->tcp || offload->udp) {
        uint8_t *checksum = l4 + (offload->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
        bool v4 = is_ipv4(ip);
        /* An IP packet may be shorter than its frame, which is padded. */
        size_t ip_length = v4 ? lduw_be_p(ip + 2) : 40u + lduw_be_p(ip + 4);
        if (ip_length > offload->l3_length && ip_length <= length - offload->l2_length) {
            l4_length = ip_length - offload->l3_length;
        }
        stw_be_p(checksum, 0);
        uint32_t sum = (v4 ? sum_of(ip + 12, 8) : sum_of(ip + 8, 32)) + protocol + l4_length + sum_of(l4, l4_length);
        uint16_t result = net_checksum_finish(sum);
        stw_be_p(checksum, offload->udp && result == 0 ? 0xffff : result);
    }
}

static void write_lengths(uint8_t *segment, size_t length, const Offload *offload, unsigned number)
{
    uint8_t *ip = segment + offload->l2_length;
    size_t ip_length = length - offload->l2_length;

    if (is_ipv4(ip)) {
        stw_be_p(ip + 2, ip_length);
        stw_be_p(ip + 4, lduw_be_p(ip + 4) + number);
    } else {
        stw_be_p(ip + 4, ip_length - 40);
    }
    if (offload->udp) {
        stw_be_p(ip + offload->l3_length + 4, ip_length - offload->l3_length);
    }
}

/* Cuts a frame of up to MAX_TSO bytes into frames that fit the wire. */
static void send_segments(X710State *s, unsigned vsi, size_t length, const Offload *offload)
{
    const uint8_t *frame = s->frame + TAG_SIZE;
    uint8_t *segment = s->segment + TAG_SIZE;
    size_t header = offload->l2_length + offload->l3_length + offload->l4_length;
    size_t size = offload->segment_size;
    unsigned number = 0;

    for (size_t offset = header; offset < length; offset += size, number++) {
        size_t part = MIN(size, length - offset);
        memcpy(segment, frame, header);
        memcpy(segment + header, frame + offset, part);
        if (offload->tcp) {
            uint8_t *tcp = segment + offload->l2_length + offload->l3_length;
            stl_be_p(tcp + 4, (uint32_t)ldl_be_p(tcp + 4) + (offset - header));
            if (offset + part < length) {
                tcp[TCP_FLAGS] &= ~TCP_FIN_PSH;
            }
        }
        write_lengths(segment, header + part, offload, number);
        write_checksums(segment, header + part, offload);
        x710_send_frame(s, vsi, segment, header + part);
        segment = s->segment + TAG_SIZE;
    }
}

/* Sends the frame in the device's buffer. */
void x710_send_offloaded(X710State *s, unsigned vsi, size_t length, const Offload *offload)
{
    size_t header = offload->l2_length + offload->l3_length + offload->l4_length;

    if (!fits(length, offload)) {
        x710_journal(s, "VSI %u: offload of headers of %zu bytes in a frame of %zu bytes", vsi, header, length);
        return;
    }
    if (!offload->segment) {
        write_checksums(s->frame + TAG_SIZE, length, offload);
        x710_send_frame(s, vsi, s->frame + TAG_SIZE, length);
        return;
    }
    if (offload->segment_size == 0 || header + offload->segment_size > MAX_FRAME) {
        x710_journal(s, "VSI %u: segments of %u bytes", vsi, offload->segment_size);
        return;
    }
    send_segments(s, vsi, length, offload);
}
