#include "models/voxtral/codes.h"

#include <vector>

#include "models/voxtral/codec.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/npy.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& what, const Config& config, const std::string& where) {
  throw DataError(what, where,
                  "wanted: frames of " + std::to_string(config.codec.codebooks()) + " integers");
}

torch::Tensor checked(const torch::Tensor& codes, const Config& config, const std::string& where) {
  if (codes.is_floating_point() || codes.is_complex() || codes.scalar_type() == torch::kBool)
    refuse("the codes are no integers", config, where);
  const torch::Tensor values = codes.to(torch::kInt64).contiguous();
  check_codes(values, config.codec, where);
  if (values.size(0) == 0) refuse("the codes have no frame", config, where);
  return values;
}

torch::Tensor from_safetensors(const fs::path& file, const std::string& key, const Config& config,
                               const std::string& where) {
  const SafetensorsReader reader = SafetensorsReader::open(file);
  return checked(copy_tensor(reader.at(key)), config, where);
}

torch::Tensor from_lists(const Json& frames, const Config& config, const std::string& where) {
  const auto width = static_cast<size_t>(config.codec.codebooks());
  std::vector<int64_t> values;
  values.reserve(frames.size() * width);
  for (const Json& frame : frames) {
    if (!frame.is_array() || frame.size() != width)
      refuse("frame " + std::to_string(values.size() / width) + " has not " +
                 std::to_string(width) + " codes",
             config, where);
    for (const Json& code : frame) {
      if (!code.is_number_integer()) refuse("a code is no integer", config, where);
      values.push_back(code.get<int64_t>());
    }
  }
  return checked(torch::tensor(values, torch::kInt64).view({-1, config.codec.codebooks()}), config,
                 where);
}

}  // namespace

torch::Tensor codes_of_row(const Json& value, const Config& config, const fs::path& folder,
                           const std::string& where) {
  if (value.is_array()) return from_lists(value, config, where);
  if (!value.is_string()) refuse("the codes are neither a list nor a file#key", config, where);
  const std::string text = value.get<std::string>();
  const size_t hash = text.rfind('#');
  if (hash == std::string::npos)
    refuse("the codes '" + text + "' name no tensor: file.safetensors#key", config, where);
  fs::path file = text.substr(0, hash);
  if (!fs::exists(file)) file = folder / file;
  return from_safetensors(file, text.substr(hash + 1), config, where);
}

Json codes_json(const torch::Tensor& codes) {
  const torch::Tensor values = codes.to(torch::kInt64).contiguous();
  const int64_t width = values.size(1);
  Json frames = Json::array();
  for (int64_t f = 0; f < values.size(0); ++f) {
    const int64_t* begin = values.data_ptr<int64_t>() + f * width;
    frames.push_back(std::vector<int64_t>(begin, begin + width));
  }
  return frames;
}

bool is_codes_file(const fs::path& file) {
  const std::string ending = to_lower_ascii(file.extension().string());
  return ending == ".npy" || ending == ".safetensors";
}

torch::Tensor read_codes_file(const fs::path& file, const Config& config) {
  if (to_lower_ascii(file.extension().string()) == ".safetensors")
    return from_safetensors(file, "codes", config, file.string());
  const auto npy = NpyFile::open(file);
  return checked(copy_tensor(npy->array()), config, file.string());
}

}  // namespace ttsft::voxtral
