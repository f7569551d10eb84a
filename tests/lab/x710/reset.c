/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resets: of a VF, of the PF, of the core and the whole device. All of them end at once.
 */
#include "device.h"
#include "admin_queue.h"
#include "hw/pci/msix.h"
#include "system/runstate.h"

#define RSTAT_TYPE_CORE (1 << 2)
#define RSTAT_TYPE_GLOBAL (2 << 2)
#define RSTAT1_IN_PROGRESS 0

static void stop_queues_of(X710State *s, int function)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        if (s->tx[i].enabled && s->tx[i].function == function) {
            x710_stop_tx(s, i);
        }
        if (s->rx[i].enabled && s->rx[i].function == function) {
            x710_stop_rx(s, i);
        }
    }
}

/* Resets a VF. Its driver notices it by its admin queue, which is off; the PF's driver says when the VF may go on. */
void x710_reset_vf(X710State *s, unsigned vf)
{
    stop_queues_of(s, vf);
    memset(&s->vfs[vf], 0, sizeof(s->vfs[vf]));
    *x710_register(s, VFGEN_RSTAT1(vf)) = RSTAT1_IN_PROGRESS;
    *x710_register(s, VFINT_ICR0(vf)) = 0;
    *x710_register(s, VFINT_DYN_CTL0(vf)) = 0;
    *x710_register(s, VPINT_LNKLST0(vf)) = 0;
    *x710_register(s, VPLAN_MAPENA(vf)) = 0;
    for (unsigned i = 0; i < VF_VECTORS - 1; i++) {
        unsigned vector = vf * (VF_VECTORS - 1) + i;
        *x710_register(s, VFINT_DYN_CTLN(vector)) = 0;
        *x710_register(s, VPINT_LNKLSTN(vector)) = 0;
        for (unsigned interval = 0; interval < 3; interval++) {
            *x710_register(s, VFINT_ITRN(interval, vector)) = 0;
        }
    }
    for (unsigned i = 0; i < VF_MAX_QUEUES; i++) {
        *x710_register(s, VPLAN_QTABLE(i, vf)) = 0;
    }
    *x710_register(s, VPGEN_VFRSTAT(vf)) = VFRSTAT_VFRD;
}

/* A reset of the PF and everything above it also resets the VFs and the switch. */
void x710_reset(X710State *s, ResetLevel level)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        x710_stop_tx(s, i);
        x710_stop_rx(s, i);
    }
    memset(&s->atq, 0, sizeof(s->atq));
    memset(&s->arq, 0, sizeof(s->arq));
    memset(s->pending, 0, sizeof(s->pending));
    memset(s->segments, 0, sizeof(s->segments));
    s->link_events = 0;
    s->link_event_pending = 0;
    x710_clear_registers(s, level);
    for (unsigned vf = 0; vf < VFS; vf++) {
        x710_reset_vf(s, vf);
    }
    x710_reset_switch(s);
    if (level >= RESET_CORE) {
        s->limited_promisc = 0;
    }
    if (level == RESET_POWER) {
        memcpy(s->mac, s->conf.macaddr.a, sizeof(s->mac));
        s->link_disabled = 0;
    }
}

/* A core or global reset: the driver that asked for it learns of it by an interrupt, as all drivers of a card do. */
void x710_reset_by_driver(X710State *s, uint32_t trigger)
{
    bool armed = *x710_register(s, PFINT_DYN_CTL0) & DYN_CTL_INTENA &&
                 *x710_register(s, PFINT_ICR0_ENA) & ICR0_GRST;
    PCIDevice *pci = PCI_DEVICE(s);

    if (!(trigger & (RTRIG_CORER | RTRIG_GLOBR))) {
        return;
    }
    x710_reset(s, trigger & RTRIG_GLOBR ? RESET_GLOBAL : RESET_CORE);
    *x710_register(s, GLGEN_RSTAT) = trigger & RTRIG_GLOBR ? RSTAT_TYPE_GLOBAL : RSTAT_TYPE_CORE;
    *x710_register(s, PFINT_ICR0) = ICR0_GRST | ICR0_INTEVENT;
    if (armed && msix_enabled(pci)) {
        msix_notify(pci, 0);
    }
}

/*
 * The reset of a VF's PCI function. The PF's driver learns of an FLR; it also sees one when it enables the VFs. QEMU
 * calls this too when the VFs are disabled, and while it loads a snapshot, which must not change the snapshot's state.
 */
void x710_vf_function_reset(X710State *s, unsigned vf)
{
    PCIDevice *pci = PCI_DEVICE(s)->exp.sriov_pf.vf ? PCI_DEVICE(s)->exp.sriov_pf.vf[vf] : NULL;

    if (runstate_check(RUN_STATE_INMIGRATE)) {
        return;
    }
    x710_reset_vf(s, vf);
    if (pci && pci->enabled) {
        *x710_register(s, GLGEN_VFLRSTAT(vf / 32)) |= 1u << vf % 32;
        x710_raise_cause(s, PF, ICR0_VFLR);
    }
}
