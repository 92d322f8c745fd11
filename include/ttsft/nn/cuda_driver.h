// What NVIDIA's driver on this machine says of itself, asked without CUDA's libraries: it tells
// WSL, containers and drivers that are too old apart before 3 GB are opened. No LibTorch here.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace ttsft {

// The functions of libcuda.so that are asked, with CUDA's own signatures; CUresult as int, 0 is
// success (CUDA Driver API: "Initialization", "Version Management", "Device Management").
struct CudaDriverTable {
  int (*init)(unsigned flags) = nullptr;          // cuInit
  int (*driver_version)(int* version) = nullptr;  // cuDriverGetVersion
  int (*device_count)(int* count) = nullptr;      // cuDeviceGetCount
};

struct CudaDriver {
  enum class State {
    kAbsent,    // no library of the driver, or the toolkit's stub in its place
    kFailed,    // it is there and refuses to start
    kNoDevice,  // it runs and shows no GPU (CUDA_VISIBLE_DEVICES may hide them)
    kReady,
  };
  State state = State::kAbsent;
  int version = 0;     // newest CUDA that it runs, 1000 major + 10 minor; 0: not known
  int devices = 0;     // that this process may use
  std::string reason;  // of kAbsent and kFailed, in words
};

// Asks through given functions.
CudaDriver ask_driver(const CudaDriverTable& table);

// Opens the first of `libraries` that can be opened and asks it; it stays open.
CudaDriver probe_driver(std::span<const std::string> libraries);

// Of this machine, asked once: libcuda.so.1 as the loader finds it, then WSL's.
const CudaDriver& cuda_driver();

// CUDA that the loaded LibTorch was built for, 1000 major + 10 minor; 0: LibTorch without CUDA.
int cuda_of_libtorch();

// 12060 -> "12.6".
std::string cuda_version_text(int version);

// Why a GPU cannot be used, and what to do; `what` is empty where nothing stands in the way.
struct CudaObstacle {
  std::string what, remedy;
  bool expected = false;  // a machine that has no GPU: nobody need be warned
};

// A driver runs every CUDA of its own major version and of earlier ones (NVIDIA's "minor version
// compatibility"), so the majors are compared. gpu_seen: the system shows an NVIDIA GPU.
CudaObstacle cuda_obstacle(const CudaDriver& driver, int built_for, bool gpu_seen);

}  // namespace ttsft
