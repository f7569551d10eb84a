/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the PF's and of a VF's BAR 0: addresses and fields.
 *
 * The names are Intel's. The reset that clears a register is in register_map.c.
 */
#ifndef X710_REGISTERS_H
#define X710_REGISTERS_H

#define PF_BAR_SIZE (8 * 1024 * 1024)
/* No register lies above; the driver maps only this part of the BAR. */
#define PF_REGISTERS_SIZE (4 * 1024 * 1024)
#define VF_BAR_SIZE (64 * 1024)

/* Interrupts of the PF */
#define PFINT_DYN_CTLN(n) (0x34800 + 4 * (n))
#define PFINT_DYN_CTL0 0x38480
#define PFINT_ICR0 0x38780
#define PFINT_ICR0_ENA 0x38800

/* Interrupts of a VF, at the PF's addresses */
#define VFINT_ITRN(i, n) (0x20000 + 2048 * (i) + 4 * (n))
#define VFINT_DYN_CTLN(n) (0x24800 + 4 * (n))
#define VPINT_LNKLSTN(n) (0x25000 + 4 * (n))
#define VFINT_DYN_CTL0(vf) (0x2a400 + 4 * (vf))
#define VPINT_LNKLST0(vf) (0x2a800 + 4 * (vf))
#define VFINT_ICR0(vf) (0x2bc00 + 4 * (vf))
#define VFINT_ICR0_ENA(vf) (0x2c000 + 4 * (vf))

#define DYN_CTL_INTENA (1u << 0)
#define DYN_CTL_CLEARPBA (1u << 1)
#define DYN_CTL_SWINT_TRIG (1u << 2)
#define DYN_CTL_INTENA_MSK (1u << 31)

#define ICR0_INTEVENT (1u << 0)
#define ICR0_GRST (1u << 20)
#define ICR0_VFLR (1u << 29)
#define ICR0_ADMINQ (1u << 30)
#define ICR0_SWINT (1u << 31)

#define QINT_RQCTL(q) (0x3a000 + 4 * (q))
#define QINT_TQCTL(q) (0x3c000 + 4 * (q))
#define QINT_MSIX_INDX 0xffu
#define QINT_CAUSE_ENA (1u << 30)

/* Queues of VFs */
#define VPLAN_QTABLE(i, vf) (0x70000 + 1024 * (i) + 4 * (vf))
#define VPLAN_QTABLE_QINDEX 0x7ffu
#define VPLAN_MAPENA(vf) (0x74000 + 4 * (vf))
#define VF_MAX_QUEUES 16

/* Resets */
#define VFGEN_RSTAT1(vf) (0x74400 + 4 * (vf))
#define VPGEN_VFRTRIG(vf) (0x91800 + 4 * (vf))
#define VFRTRIG_VFSWR 1u
#define VPGEN_VFRSTAT(vf) (0x91c00 + 4 * (vf))
#define VFRSTAT_VFRD 1u
#define PFGEN_CTRL 0x92400
#define PFGEN_CTRL_PFSWR 1u
#define GLGEN_VFLRSTAT(i) (0x92600 + 4 * (i))
#define GLGEN_RSTCTL 0xb8180
#define GLGEN_RSTAT 0xb8188
#define GLGEN_RTRIG 0xb8190
#define RTRIG_CORER 1u
#define RTRIG_GLOBR 2u

/* Admin queues of the PF */
#define PF_ATQBAL 0x80000
#define PF_ARQBAL 0x80080
#define PF_ATQBAH 0x80100
#define PF_ARQBAH 0x80180
#define PF_ATQLEN 0x80200
#define PF_ARQLEN 0x80280
#define PF_ATQH 0x80300
#define PF_ARQH 0x80380
#define PF_ATQT 0x80400
#define PF_ARQT 0x80480
#define AQ_LEN_MASK 0x3ffu
#define AQ_LEN_ENABLE (1u << 31)

/* Identity and resources */
#define GL_FWSTS 0x83048
#define PF_FUNC_RID 0x9c000
#define PF_PCI_CIAA 0x9c080
#define PF_PCI_CIAD 0x9c100
#define GLNVM_ULD 0xb6008
#define GLNVM_GENS 0xb6100
#define GLNVM_FLA 0xb6108
#define GLNVM_SRCTL 0xb6110
#define SRCTL_ADDR_SHIFT 14
#define SRCTL_START (1u << 30)
#define SRCTL_DONE (1u << 31)
#define GLNVM_SRDATA 0xb6114
#define PRTGEN_CNF 0xb8120
#define GLPCI_CNF2 0xbe494
#define PFLAN_QALLOC 0x1c0400
#define PFGEN_PORTNUM 0x1c0480
#define PF_VT_PFALLOC 0x1c0500
#define ALLOC_VALID (1u << 31)
#define GLGEN_PCIFCNCNT 0x1c0ab4
#define PRTGL_SAH 0x1e2140
#define PRTTSYN_CTL0 0x1e4200

/* Host memory cache */
#define PFHMC_SDCMD 0xc0000
#define SDCMD_INDEX 0xfffu
#define SDCMD_WRITE (1u << 31)
#define PFHMC_SDDATALOW 0xc0100
#define SDDATALOW_VALID 1u
#define SDDATALOW_DIRECT 2u
#define PFHMC_SDDATAHIGH 0xc0200
#define GLHMC_LANTXOBJSZ 0xc2004
#define GLHMC_LANQMAX 0xc2008
#define GLHMC_LANRXOBJSZ 0xc200c
#define GLHMC_FCOEMAX 0xc2014
#define GLHMC_FCOEFMAX 0xc20d0
#define GLHMC_LANTXBASE 0xc6200
#define GLHMC_LANRXBASE 0xc6400

/* Queues. A queue's number is that of the device, not of the VF. */
#define MAX_QUEUE_REGISTERS 1536
#define QTX_HEAD(q) (0xe4000 + 4 * (q))
#define QTX_ENA(q) (0x100000 + 4 * (q))
#define QTX_CTL(q) (0x104000 + 4 * (q))
#define QTX_CTL_TYPE 3u
#define QTX_CTL_TYPE_VF 0u
#define QTX_CTL_VF(value) (((value) >> 7) & 0x1ff)
#define QTX_TAIL(q) (0x108000 + 4 * (q))
#define QRX_ENA(q) (0x120000 + 4 * (q))
#define QRX_TAIL(q) (0x128000 + 4 * (q))
#define QENA_REQ 1u
#define QENA_STAT 4u

/* Hashing of VFs, at the PF's addresses */
#define VFQF_HLUT1(i, vf) (0x220000 + 1024 * (i) + 4 * (vf))
#define VFQF_HKEY1(i, vf) (0x228000 + 1024 * (i) + 4 * (vf))
#define VFQF_HENA1(i, vf) (0x230800 + 1024 * (i) + 4 * (vf))

/* Statistics of the port and of a VSI: 48 bits in two registers, the low one first */
#define GLPRT_GORC 0x300000
#define GLPRT_UPRC 0x3005a0
#define GLPRT_MPRC 0x3005c0
#define GLPRT_BPRC 0x3005e0
#define GLPRT_GOTC 0x300680
#define GLPRT_UPTC 0x3009c0
#define GLPRT_MPTC 0x3009e0
#define GLPRT_BPTC 0x300a00
#define GLV_RDPC(i) (0x310000 + 8 * (i))
#define GLV_GOTC(i) (0x328000 + 8 * (i))
#define GLV_UPTC(i) (0x33c000 + 8 * (i))
#define GLV_MPTC(i) (0x33cc00 + 8 * (i))
#define GLV_BPTC(i) (0x33d800 + 8 * (i))
#define GLV_TEPC(i) (0x344000 + 8 * (i))
#define GLV_GORC(i) (0x358000 + 8 * (i))
#define GLV_UPRC(i) (0x36c000 + 8 * (i))
#define GLV_MPRC(i) (0x36cc00 + 8 * (i))
#define GLV_BPRC(i) (0x36d800 + 8 * (i))

/* A VF's BAR 0 */
#define VF_QTX_TAIL1 0x0000
#define VF_QRX_TAIL1 0x2000
#define VF_ITRN1 0x2800
#define VF_DYN_CTLN1 0x3800
#define VF_ICR01 0x4800
#define VF_ICR0_ENA1 0x5000
#define VF_DYN_CTL01 0x5c00
#define VF_ARQBAH1 0x6000
#define VF_ATQH1 0x6400
#define VF_ATQLEN1 0x6800
#define VF_ARQBAL1 0x6c00
#define VF_ARQT1 0x7000
#define VF_ARQH1 0x7400
#define VF_ATQBAH1 0x7800
#define VF_ATQBAL1 0x7c00
#define VF_ARQLEN1 0x8000
#define VF_ATQT1 0x8400
#define VFGEN_RSTAT 0x8800
#define VFQF_HENA 0xc400
#define VFQF_HKEY 0xcc00
#define VFQF_HLUT 0xd000

#endif
