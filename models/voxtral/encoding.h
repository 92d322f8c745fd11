// Recordings to codes in the way that the run file asks for: by the encoder, or by inversion.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "models/voxtral/codec.h"
#include "models/voxtral/options.h"

namespace ttsft::voxtral {

enum class Encoding {
  kEncoder,
  kInvert,
  kNone,     // asked for: recordings stay recordings, for the training of an encoder
  kMissing,  // there is no encoder, and nothing else was asked for
};
// encoder: whether there is one. UsageError: `voxtral.codes: encoder` without one.
Encoding choose_encoding(const Options& options, bool encoder, const std::string& stage);

// Why a checkpoint encodes no recordings, and what to do: names the tensors that are missing.
extern const char* const kNoEncoder;
extern const char* const kNoEncoderRemedy;

struct EncodedClip {
  torch::Tensor codes;  // [T, 37], int64, on the CPU
  double error = 0;     // of an inversion
};

// Waves at 24 kHz. DataError where nothing can make codes.
std::vector<EncodedClip> encode_waves(Codec& codec, const std::vector<torch::Tensor>& waves,
                                      Encoding encoding, const Options& options);

// The codes of a voice: of a recording, or of a file that holds codes. DataError also where an
// inversion does not sound like the recording.
torch::Tensor voice_codes(const std::filesystem::path& reference, Codec& codec,
                          const Config& config, Encoding encoding, const Options& options);

}  // namespace ttsft::voxtral
