/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the admin queue about the device itself.
 */
#include "device.h"
#include "admin_queue.h"

#define FIRMWARE_MAJOR 9
#define FIRMWARE_MINOR 120
#define API_MAJOR 1
#define API_MINOR 15
#define RESOURCE_TIMEOUT_MS 3000

#define MAC_FLAG_LAN_VALID 0x10
#define MAC_FLAG_PORT_VALID 0x40

/* What the device is able to do. The driver leaves off what is missing here. */
typedef struct Capability {
    uint16_t id;
    uint32_t number, logical_id;
} Capability;

static const Capability capabilities[] = {
    { 0x05, 1, 0 },        /* valid functions, a bit map */
    { 0x12, 1, 0 },        /* SR-IOV */
    { 0x13, VFS, 0 },      /* VFs, and the number of the first one */
    { 0x17, VSIS, 0 },     /* VSIs */
    { 0x40, 512, 6 },      /* size of the RSS table, and bits of an entry */
    { 0x41, QUEUES, 0 },   /* RX queues */
    { 0x42, QUEUES, 0 },   /* TX queues */
    { 0x43, PF_VECTORS, 0 },
    { 0x44, VF_VECTORS, 0 },
};
#define CAPABILITY_SIZE 32

static uint16_t list_capabilities(AqCommand *command)
{
    stl_le_p(command->parameters + 4, ARRAY_SIZE(capabilities));
    if (command->length < ARRAY_SIZE(capabilities) * CAPABILITY_SIZE) {
        command->descriptor->length = ARRAY_SIZE(capabilities) * CAPABILITY_SIZE;
        return AQ_ENOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
        uint8_t *entry = command->buffer + i * CAPABILITY_SIZE;
        memset(entry, 0, CAPABILITY_SIZE);
        stw_le_p(entry, capabilities[i].id);
        entry[2] = 1;
        stl_le_p(entry + 4, capabilities[i].number);
        stl_le_p(entry + 8, capabilities[i].logical_id);
    }
    return AQ_OK;
}

static uint16_t get_version(uint8_t *parameters)
{
    memset(parameters, 0, 8);
    stw_le_p(parameters + 8, FIRMWARE_MAJOR);
    stw_le_p(parameters + 10, FIRMWARE_MINOR);
    stw_le_p(parameters + 12, API_MAJOR);
    stw_le_p(parameters + 14, API_MINOR);
    return AQ_OK;
}

static uint16_t read_mac(X710State *s, AqCommand *command)
{
    if (command->length < 24) {
        return AQ_EINVAL;
    }
    memset(command->buffer, 0, 24);
    memcpy(command->buffer, s->mac, 6);
    memcpy(command->buffer + 12, s->conf.macaddr.a, 6);
    stw_le_p(command->parameters, MAC_FLAG_LAN_VALID | MAC_FLAG_PORT_VALID);
    return AQ_OK;
}

/* The two high bytes come first, each part with its most significant byte first. */
static uint16_t write_mac(X710State *s, const uint8_t *parameters)
{
    uint16_t high = lduw_le_p(parameters + 2);
    uint32_t low = (uint32_t)ldl_le_p(parameters + 4);

    stw_be_p(s->mac, high);
    stl_be_p(s->mac + 2, low);
    return AQ_OK;
}

static uint16_t access_register(X710State *s, AqCommand *command)
{
    uint32_t address = (uint32_t)ldl_le_p(command->parameters + 4) & ~3u;

    switch (command->descriptor->opcode) {
    case AQ_RX_CTL_WRITE:
    case AQ_DEBUG_WRITE:
        x710_write(s, address, (uint32_t)ldl_le_p(command->parameters + 12));
        break;
    default:
        stl_le_p(command->parameters + 12, x710_read(s, address));
        stl_le_p(command->parameters + 8, 0);
    }
    return AQ_OK;
}

static uint16_t set_switch_config(X710State *s, const uint8_t *parameters)
{
    if (lduw_le_p(parameters + 2) & SWITCH_LIMITED_PROMISC) {
        s->limited_promisc = lduw_le_p(parameters) & SWITCH_LIMITED_PROMISC;
    }
    return AQ_OK;
}

static uint16_t run_device_command(X710State *s, AqCommand *command)
{
    switch (command->descriptor->opcode) {
    case AQ_GET_VERSION:
        return get_version(command->parameters);
    case AQ_DRIVER_VERSION:
    case AQ_QUEUE_SHUTDOWN:
    case AQ_RELEASE_RESOURCE:
    case AQ_CLEAR_PXE_MODE:
    case AQ_ADD_CONTROL_FILTER:
    case AQ_REMOVE_CONTROL_FILTER:
    case AQ_ADD_UDP_TUNNEL:
    case AQ_REMOVE_UDP_TUNNEL:
        return AQ_OK;
    case AQ_SET_SWITCH_CONFIG:
        return set_switch_config(s, command->parameters);
    case AQ_REQUEST_RESOURCE:
        stl_le_p(command->parameters + 4, RESOURCE_TIMEOUT_MS);
        return AQ_OK;
    case AQ_LIST_FUNC_CAPABILITIES:
    case AQ_LIST_DEV_CAPABILITIES:
        return list_capabilities(command);
    case AQ_MAC_ADDRESS_READ:
        return read_mac(s, command);
    case AQ_MAC_ADDRESS_WRITE:
        return write_mac(s, command->parameters);
    case AQ_RX_CTL_READ:
    case AQ_RX_CTL_WRITE:
    case AQ_DEBUG_READ:
    case AQ_DEBUG_WRITE:
        return access_register(s, command);
    case AQ_SEND_TO_VF:
        return x710_send_to_vf(s, (uint32_t)ldl_le_p(command->parameters), command);
    default:
        return AQ_UNKNOWN;
    }
}

uint16_t x710_run_command(X710State *s, AqCommand *command)
{
    uint16_t result = run_device_command(s, command);

    if (result == AQ_UNKNOWN) {
        result = x710_run_switch_command(s, command);
    }
    return result == AQ_UNKNOWN ? x710_run_link_command(s, command) : result;
}
