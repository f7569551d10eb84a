/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Enabling and disabling queues.
 *
 * The driver requests a state by one bit of a queue's register; another bit shows the state, which changes at once.
 */
#include "device.h"

void x710_stop_tx(X710State *s, unsigned index)
{
    s->tx[index].enabled = 0;
    *x710_register(s, QTX_ENA(index)) = 0;
    /* A VF's driver does not write the tail before it has a frame. */
    *x710_register(s, QTX_TAIL(index)) = 0;
}

void x710_stop_rx(X710State *s, unsigned index)
{
    s->rx[index].enabled = 0;
    *x710_register(s, QRX_ENA(index)) = 0;
}

void x710_enable_tx(X710State *s, unsigned index, uint32_t value)
{
    if (!(value & QENA_REQ)) {
        x710_stop_tx(s, index);
    } else if (!s->tx[index].enabled && x710_load_tx_queue(s, index)) {
        s->tx[index].enabled = 1;
        *x710_register(s, QTX_TAIL(index)) = s->tx[index].head;
        *x710_register(s, QTX_ENA(index)) = QENA_REQ | QENA_STAT;
    }
}

void x710_enable_rx(X710State *s, unsigned index, uint32_t value)
{
    if (!(value & QENA_REQ)) {
        x710_stop_rx(s, index);
    } else if (!s->rx[index].enabled && x710_load_rx_queue(s, index)) {
        s->rx[index].enabled = 1;
        *x710_register(s, QRX_ENA(index)) = QENA_REQ | QENA_STAT;
    }
}
