// CosyVoice's two encoders as they are released: exported to ONNX. What their files hold, under the
// names that load_s3_tokenizer() and load_campplus() read with an empty prefix. Node names:
// s3tokenizer 0.3.0's converter (onnx2torch_v3) and the export of 3D-Speaker's CAM++.
#pragma once

#include <memory>

#include "ttsft/io/onnx.h"

namespace ttsft {

inline constexpr int64_t kS3HeadDim = 64;  // of the exported tokenizer, which names no heads

// speech_tokenizer_v3.onnx. DataError: it lacks a tensor of the network.
std::shared_ptr<const TensorFile> s3_tokenizer_weights(const std::shared_ptr<const OnnxFile>& file);

// campplus.onnx, its norms folded as far as the export folds them.
std::shared_ptr<const TensorFile> campplus_weights(const std::shared_ptr<const OnnxFile>& file);

}  // namespace ttsft
