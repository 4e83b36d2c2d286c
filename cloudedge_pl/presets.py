"""Figures of well-known devices and clouds with their sources; :mod:`cloudedge_pl.fleet` makes nodes from them.

Peak speeds are in float32: cores x clock x FLOP per cycle, or the manufacturer's figure. A 128-bit NEON fused
multiply-add is 8 FLOP. `efficiency` is this project's assumption about the share of the peak that a network reaches,
never a manufacturer's figure. Other figures that are assumed rather than published are marked "assumed". Calibrate with
your own measurements before you rely on them.
"""

from __future__ import annotations

DEVICES: dict[str, dict[str, float]] = {
    # Product brief of the Raspberry Pi 4 Model B, 4 GB: BCM2711, LPDDR4-3200, gigabit Ethernet.
    "raspberry-pi-4": {
        "flops_per_second": 48e9,  # 4 x Cortex-A72 x 1.5 GHz x 8 FLOP
        "memory_bytes": 4e9,
        "memory_bandwidth_bytes_per_second": 12.8e9,  # 3200 MT/s x 32 bit
        "efficiency": 0.3,
        "throughput_bits_per_second": 300e6,  # assumed: a third of gigabit Ethernet
        "idle_watts": 2.7,  # 540 mA (pidramble.com, power consumption benchmarks)
        "busy_watts": 6.4,  # 1280 mA with four busy cores (same)
        "transmit_watts": 0.6,  # assumed
    },
    # Product brief of the Raspberry Pi 3 Model B+: BCM2837B0, LPDDR2-900, Ethernet over USB 2.0 at 300 Mbit/s at most.
    "raspberry-pi-3b-plus": {
        "flops_per_second": 44.8e9,  # 4 x Cortex-A53 x 1.4 GHz x 8 FLOP
        "memory_bytes": 1e9,
        "memory_bandwidth_bytes_per_second": 3.6e9,  # 900 MT/s x 32 bit
        "efficiency": 0.2,
        "throughput_bits_per_second": 200e6,  # assumed: two thirds of the maximum
        "idle_watts": 1.9,  # 350 mA (pidramble.com)
        "busy_watts": 5.1,  # 980 mA (same)
        "transmit_watts": 0.6,  # assumed
    },
    # Product brief of the Raspberry Pi Zero 2 W: RP3A0, LPDDR2-900, 2.4 GHz Wi-Fi.
    "raspberry-pi-zero-2w": {
        "flops_per_second": 32e9,  # 4 x Cortex-A53 x 1.0 GHz x 8 FLOP
        "memory_bytes": 0.512e9,
        "memory_bandwidth_bytes_per_second": 3.6e9,  # 900 MT/s x 32 bit
        "efficiency": 0.2,
        "throughput_bits_per_second": 40e6,  # assumed: what one antenna at 2.4 GHz sustains
        "idle_watts": 0.6,  # 120 mA (CNX Software, December 2021)
        "busy_watts": 2.7,  # assumed: 1.4 W above the Zero W under load (A. Jacobs, October 2021)
        "transmit_watts": 0.8,  # assumed
    },
    # NVIDIA, Jetson Nano module data sheet: Tegra X1, power modes of 5 W and 10 W, gigabit Ethernet.
    "jetson-nano": {
        "flops_per_second": 236e9,  # 128 CUDA cores x 0.9216 GHz x 2 FLOP (the manufacturer quotes 472 in float16)
        "memory_bytes": 4e9,
        "memory_bandwidth_bytes_per_second": 25.6e9,  # LPDDR4, 64 bit
        "efficiency": 0.3,
        "throughput_bits_per_second": 500e6,  # assumed: half of gigabit Ethernet
        "idle_watts": 1.5,  # assumed
        "busy_watts": 10.0,  # the budget of its 10 W mode
        "transmit_watts": 0.6,  # assumed
    },
    # NVIDIA, Jetson Orin Nano series data sheet, 8 GB module in its 15 W mode.
    "jetson-orin-nano": {
        "flops_per_second": 1.28e12,  # 1024 CUDA cores x 0.625 GHz x 2 FLOP
        "memory_bytes": 8e9,
        "memory_bandwidth_bytes_per_second": 68e9,  # LPDDR5, 128 bit
        "efficiency": 0.3,
        "throughput_bits_per_second": 500e6,  # assumed: half of gigabit Ethernet
        "idle_watts": 4.0,  # assumed; 2.6 W with nearly everything off (NVIDIA developer forum, thread 348662)
        "busy_watts": 15.0,  # the budget of the mode
        "transmit_watts": 0.6,  # assumed
    },
    # A phone of 2020, computing on its CPU: Snapdragon 865 (AnandTech, December 2019; WikiChip).
    "snapdragon-865": {
        # (2.84 + 3 x 2.42) GHz of Cortex-A77 x 16 FLOP (two pipes), 4 x Cortex-A55 x 1.8 GHz x 8 FLOP
        "flops_per_second": 219e9,
        "memory_bytes": 8e9,  # of a typical phone; the chip supports 16 GB
        "memory_bandwidth_bytes_per_second": 44e9,  # LPDDR5-5500 x 64 bit
        "efficiency": 0.3,
        "throughput_bits_per_second": 300e6,  # assumed: Wi-Fi 5 or 6 in the same room
        "idle_watts": 0.5,  # assumed: awake, display off
        "busy_watts": 4.5,  # assumed: sustained power without overheating
        "transmit_watts": 1.0,  # assumed
    },
    # Espressif, ESP32-S3 and ESP32-S3-WROOM-1 data sheets, module N8R8: 8 MB of octal PSRAM, 2.4 GHz Wi-Fi.
    "esp32-s3": {
        "flops_per_second": 0.96e9,  # 2 x LX7 x 240 MHz x 2 FLOP, with one multiply-add per cycle
        "memory_bytes": 8e6,
        "memory_bandwidth_bytes_per_second": 160e6,  # 80 MHz x 8 bit x both edges
        "efficiency": 0.2,
        "throughput_bits_per_second": 20e6,  # TCP in a shielded box (ESP-IDF programming guide, Wi-Fi throughput)
        "idle_watts": 0.15,  # assumed: 45 mA at 3.3 V, radio listening occasionally
        "busy_watts": 0.36,  # assumed: 110 mA at 3.3 V, both cores busy
        "transmit_watts": 0.9,  # assumed: about 280 mA at 3.3 V while it sends
    },
}
"""Keyword arguments of EdgeNode."""

CLOUDS: dict[str, dict[str, float]] = {
    # NVIDIA, T4 data sheet: 8.1 TFLOP/s in float32, 16 GB GDDR6, 70 W.
    "t4": {"flops_per_second": 8.1e12, "memory_bandwidth_bytes_per_second": 320e9, "efficiency": 0.3},
    # NVIDIA, A100 data sheet, 40 GB: 19.5 TFLOP/s in float32 without tensor cores, HBM2, 250 W (PCIe) or 400 W (SXM).
    "a100": {"flops_per_second": 19.5e12, "memory_bandwidth_bytes_per_second": 1555e9, "efficiency": 0.3},
}
"""Keyword arguments of Cloud."""
