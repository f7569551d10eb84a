/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the admin queue about the link: PHY, link state, data centre bridging.
 *
 * The PHY is 10GBASE-SR. The link is up while the wire is, unless the driver turned it off.
 */
#include "device.h"
#include "admin_queue.h"

#define PHY_10GBASE_SR 0x14
#define PHY_TYPES (1u << 0x14 | 1u << 0x15)
#define SPEED_10G 0x08
#define ABILITY_LINK_ENABLED 0x08
#define ABILITY_AUTONEGOTIATION 0x10
#define PHY_ABILITIES_SIZE 0x218

#define EVENTS_MASK 3
#define EVENTS_DISABLE 2
#define EVENTS_ENABLE 3
#define EVENTS_ARE_ENABLED 1
#define LINK_UP 0x01
#define MEDIA_AVAILABLE 0x40
#define AN_COMPLETED 0x01
#define QUALIFIED_MODULE 0x80
#define CRC_ENABLED 0x04
#define RESTART_LINK_ENABLE 0x04

bool x710_link_up(X710State *s)
{
    return !s->link_disabled && !qemu_get_queue(s->nic)->link_down;
}

void x710_fill_link_status(X710State *s, uint8_t *parameters)
{
    bool up = x710_link_up(s);

    memset(parameters, 0, 16);
    stw_le_p(parameters, s->link_events ? EVENTS_ARE_ENABLED : 0);
    parameters[2] = PHY_10GBASE_SR;
    parameters[3] = up ? SPEED_10G : 0;
    parameters[4] = MEDIA_AVAILABLE | (up ? LINK_UP : 0);
    parameters[5] = QUALIFIED_MODULE | (up ? AN_COMPLETED : 0);
    stw_le_p(parameters + 8, MAX_FRAME);
    parameters[10] = CRC_ENABLED;
    stl_le_p(parameters + 11, PHY_TYPES);
}

static uint16_t get_phy_abilities(X710State *s, AqCommand *command)
{
    uint8_t *abilities = command->buffer;

    if (command->length < PHY_ABILITIES_SIZE) {
        return AQ_EINVAL;
    }
    memset(abilities, 0, PHY_ABILITIES_SIZE);
    stl_le_p(abilities, PHY_TYPES);
    abilities[4] = SPEED_10G;
    abilities[5] = ABILITY_AUTONEGOTIATION | (s->link_disabled ? 0 : ABILITY_LINK_ENABLED);
    return AQ_OK;
}

static uint16_t enable_link(X710State *s, bool enable)
{
    bool before = x710_link_up(s);

    s->link_disabled = !enable;
    if (x710_link_up(s) != before) {
        x710_send_link_event(s);
    }
    return AQ_OK;
}

static uint16_t get_link_status(X710State *s, uint8_t *parameters)
{
    switch (parameters[0] & EVENTS_MASK) {
    case EVENTS_ENABLE:
        s->link_events = 1;
        break;
    case EVENTS_DISABLE:
        s->link_events = 0;
        break;
    }
    x710_fill_link_status(s, parameters);
    return AQ_OK;
}

uint16_t x710_run_link_command(X710State *s, AqCommand *command)
{
    switch (command->descriptor->opcode) {
    case AQ_GET_PHY_ABILITIES:
        return get_phy_abilities(s, command);
    case AQ_SET_PHY_CONFIG:
        return enable_link(s, command->parameters[5] & ABILITY_LINK_ENABLED);
    case AQ_RESTART_LINK:
        return enable_link(s, command->parameters[0] & RESTART_LINK_ENABLE);
    case AQ_GET_LINK_STATUS:
        return get_link_status(s, command->parameters);
    case AQ_SET_MAC_CONFIG:
    case AQ_SET_PHY_INT_MASK:
    case AQ_SET_DCB_PARAMETERS:
    case AQ_SUSPEND_PORT_TX:
    case AQ_RESUME_PORT_TX:
    case AQ_LLDP_UPDATE_MIB:
    case AQ_LLDP_STOP:
    case AQ_LLDP_START:
    case AQ_LLDP_SET_LOCAL_MIB:
        return AQ_OK;
    case AQ_LLDP_GET_MIB:
        /* The firmware runs no LLDP agent. */
        return AQ_EPERM;
    default:
        return AQ_UNKNOWN;
    }
}
