// Random checkpoints in a released layout: one writer for all models, from what each lists in its
// folder fixture/. For tests and tools: ttsft itself knows none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/io/tensor_file.h"

namespace ttsft {

enum class FixtureSize {
  kTiny,     // seconds on two cores; large enough to memorise two clips
  kRelease,  // the released dimensions
};

// A random checkpoint in the released layout, as names and shapes: tools/fixture fills and writes
// it.
struct FixtureTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  enum class Fill {
    kNormal,
    kOne,
    kZero,
    kSmall,
    kCount
  } fill = Fill::kNormal;  // kSmall: biases, near 0; kCount: usage counters, 1..2
  double scale = 0.02;     // standard deviation of kNormal
};
// Of an ONNX file: what uses the tensors.
struct FixtureNode {
  std::string op, name;
  std::vector<std::string> inputs;
};
struct FixtureFile {
  std::string path;                    // within the checkpoint folder
  std::vector<FixtureTensor> tensors;  // a safetensors file, or
  std::string text;                    // a text file
  std::vector<FixtureNode> nodes{};    // of an .onnx
  bool encoder = false;                // of recordings, where a release may lack it
};

// Of models/<folder>/fixture; UsageError when models.def has no such folder.
std::vector<FixtureFile> fixture_files(const std::string& folder, FixtureSize size);

// Fills and writes the files into a new folder: .pt, .pth and .bin as torch.save does, with "/" in
// a tensor's name for dictionaries in dictionaries ("net/cfm/conv1.weight"; "": the tensor is the
// file), others as safetensors, one tensor in memory at a time. A tensor's values depend on the
// seed, its file and its name alone. UsageError when `out` exists and is not empty;
// RunError when it cannot be written, and then nothing is left there.
void write_fixture(const std::vector<FixtureFile>& files, const std::filesystem::path& out,
                   uint64_t seed);

}  // namespace ttsft
