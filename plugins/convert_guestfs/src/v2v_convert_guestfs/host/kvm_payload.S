/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware that the KVM probe runs: it walks the virtual CPU from reset to where every stock kernel lives, and
 * writes one letter to the first serial port at each station. kvm.py holds the assembled bytes; the test of the probe
 * assembles this file again and compares:
 *
 *      as --64 -o payload.o kvm_payload.S && objcopy -O binary -j .text payload.o payload.bin
 */
        .set    BASE, 0xf0000           /* where the last 64 KiB of the firmware appear below 1 MiB */
        .code16
        .globl  _start
_start: cli
        movw    $0x3f8, %dx
        movb    $'R', %al               /* real mode */
        outb    %al, %dx

        /* page tables: PML4, PDPT and PD at 0x1000, 0x2000, 0x3000; the first 2 MiB, for user mode as well */
        xorw    %ax, %ax
        movw    %ax, %es
        movw    $0x1000, %di
        movw    $0x1800, %cx
        cld
        rep stosw
        movw    $0x2007, %es:0x1000
        movw    $0x3007, %es:0x2000
        movw    $0x0087, %es:0x3000
        lgdtl   %cs:gdtr - _start
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $0x18, $BASE + prot - _start

        .code32
prot:   movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x8000, %esp
        movb    $'P', %al               /* protected mode */
        outb    %al, %dx
        movl    %cr4, %eax
        orl     $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
        movl    %eax, %cr4
        movl    $0x1000, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER: long mode, system calls */
        rdmsr
        orl     $0x101, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax       /* paging */
        movl    %eax, %cr0
        movw    $0x3f8, %dx
        ljmpl   $0x08, $BASE + long - _start

        .code64
long:   movb    $'L', %al               /* long mode, with paging */
        outb    %al, %dx
        movl    $BASE + gate - _start, %eax
        movw    %ax, 0x4030             /* vector 3 of the interrupt table at 0x4000, callable from user mode */
        movw    $0x08, 0x4032
        movw    $0xee00, 0x4034
        shrl    $16, %eax
        movw    %ax, 0x4036
        lidt    BASE + idtr - _start
        int3
        movb    $'I', %al               /* interrupts */
        outb    %al, %dx
        movl    $0x8000, 0x5004         /* the stack for the way back from user mode, in the TSS at 0x5000 */
        movw    $0x38, %ax
        ltr     %ax
        pushq   $0x2b
        pushq   $0x7000
        pushq   $0x3002                 /* IOPL 3: user mode may write to the port */
        pushq   $0x33
        pushq   $BASE + user - _start
        iretq
user:   movb    $'U', %al               /* user mode */
        outb    %al, %dx
        int3
        movl    $100000, %ecx
1:      loop    1b
        movb    $'.', %al               /* all of it, and some speed */
        outb    %al, %dx
        movb    $0xfe, %al              /* reset by the keyboard controller: with -no-reboot, qemu ends */
        outb    %al, $0x64
2:      jmp     2b

gate:   iretq

        .balign 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 08: code, 64 bits */
        .quad   0x00cf93000000ffff      /* 10: data */
        .quad   0x00cf9b000000ffff      /* 18: code, 32 bits */
        .quad   0
        .quad   0x00cff3000000ffff      /* 28: data of user mode */
        .quad   0x00affb000000ffff      /* 30: code of user mode, 64 bits */
        .quad   0x0000890050000067      /* 38: TSS at 0x5000 */
        .quad   0
gdtr:   .word   gdtr - gdt - 1
        .long   BASE + gdt - _start
idtr:   .word   0x3ff
        .quad   0x4000

        .org    0xfff0                  /* where the CPU starts */
        .code16
        ljmpw   $0xf000, $0
        .org    0x10000
