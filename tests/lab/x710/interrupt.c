/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of the PF and the VFs.
 *
 * An interrupt that fires disarms its vector until the driver writes INTENA again. Vector 0 also has causes (ICR0),
 * which fire as long as one of them is set and enabled.
 */
#include "device.h"
#include "hw/pci/msix.h"

static uint32_t control_register(int function, unsigned vector)
{
    if (function == PF) {
        return vector ? PFINT_DYN_CTLN(vector - 1) : PFINT_DYN_CTL0;
    }
    return vector ? VFINT_DYN_CTLN(function * (VF_VECTORS - 1) + vector - 1) : VFINT_DYN_CTL0(function);
}

static uint32_t *causes(X710State *s, int function)
{
    return x710_register(s, function == PF ? PFINT_ICR0 : VFINT_ICR0(function));
}

static uint32_t enabled_causes(X710State *s, int function)
{
    uint32_t enabled = *x710_register(s, function == PF ? PFINT_ICR0_ENA : VFINT_ICR0_ENA(function));

    return *causes(s, function) & enabled;
}

static uint8_t *pending(X710State *s, int function, unsigned vector)
{
    return function == PF ? &s->pending[vector] : &s->vfs[function].pending[vector];
}

static void fire_if_armed(X710State *s, int function, unsigned vector)
{
    uint32_t *control = x710_register(s, control_register(function, vector));
    bool caused = vector == 0 && enabled_causes(s, function);
    PCIDevice *pci = x710_function(s, function);

    if (!(*control & DYN_CTL_INTENA) || !(caused || *pending(s, function, vector))) {
        return;
    }
    *control &= ~DYN_CTL_INTENA;
    *pending(s, function, vector) = 0;
    if (vector == 0) {
        *causes(s, function) |= ICR0_INTEVENT;
    }
    if (pci && msix_enabled(pci)) {
        msix_notify(pci, vector);
    }
}

void x710_raise(X710State *s, int function, unsigned vector)
{
    if (vector < (function == PF ? PF_VECTORS : VF_VECTORS)) {
        *pending(s, function, vector) = 1;
        fire_if_armed(s, function, vector);
    }
}

void x710_raise_cause(X710State *s, int function, uint32_t cause)
{
    *causes(s, function) |= cause;
    fire_if_armed(s, function, 0);
}

void x710_raise_queue(X710State *s, const Queue *queue, uint32_t control_register)
{
    uint32_t control = *x710_register(s, control_register);

    if (control & QINT_CAUSE_ENA) {
        x710_raise(s, queue->function, control & QINT_MSIX_INDX);
    }
}

/* Reading ICR0 clears it. Reading it as a VF also disables the causes, until the VF's driver enables them again. */
uint32_t x710_read_cause(X710State *s, int function)
{
    uint32_t *cause = causes(s, function);
    uint32_t value = *cause | (enabled_causes(s, function) ? ICR0_INTEVENT : 0);

    *cause = 0;
    return value;
}

static void write_control(X710State *s, int function, unsigned vector, uint32_t value)
{
    uint32_t *control = x710_register(s, control_register(function, vector));
    uint32_t armed = value & DYN_CTL_INTENA_MSK ? *control & DYN_CTL_INTENA : value & DYN_CTL_INTENA;

    *control = (value & ~(DYN_CTL_INTENA | DYN_CTL_CLEARPBA | DYN_CTL_SWINT_TRIG | DYN_CTL_INTENA_MSK)) | armed;
    if (value & DYN_CTL_SWINT_TRIG) {
        if (vector == 0) {
            *causes(s, function) |= ICR0_SWINT;
        }
        *pending(s, function, vector) = 1;
    }
    fire_if_armed(s, function, vector);
}

/* Writes a register of an interrupt. Returns false if it is another register. */
bool x710_write_interrupt(X710State *s, uint32_t address, uint32_t value)
{
    if (address == PFINT_DYN_CTL0) {
        write_control(s, PF, 0, value);
    } else if (address >= PFINT_DYN_CTLN(0) && address < PFINT_DYN_CTLN(PF_VECTORS - 1)) {
        write_control(s, PF, (address - PFINT_DYN_CTLN(0)) / 4 + 1, value);
    } else if (address >= VFINT_DYN_CTL0(0) && address < VFINT_DYN_CTL0(VFS)) {
        write_control(s, (address - VFINT_DYN_CTL0(0)) / 4, 0, value);
    } else if (address >= VFINT_DYN_CTLN(0) && address < VFINT_DYN_CTLN(VFS * (VF_VECTORS - 1))) {
        unsigned index = (address - VFINT_DYN_CTLN(0)) / 4;
        write_control(s, index / (VF_VECTORS - 1), index % (VF_VECTORS - 1) + 1, value);
    } else if (address == PFINT_ICR0_ENA) {
        *x710_register(s, address) = value;
        fire_if_armed(s, PF, 0);
    } else if (address >= VFINT_ICR0_ENA(0) && address < VFINT_ICR0_ENA(VFS)) {
        *x710_register(s, address) = value;
        fire_if_armed(s, (address - VFINT_ICR0_ENA(0)) / 4, 0);
    } else {
        return false;
    }
    return true;
}
