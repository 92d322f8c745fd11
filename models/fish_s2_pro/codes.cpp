#include "models/fish_s2_pro/codes.h"

#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/io/npy.h"
#include "ttsft/nn/weights.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& what, const Config& config, const std::string& where) {
  throw DataError(what, where,
                  "wanted: " + std::to_string(config.codebooks) +
                      " rows of one integer a frame, as upstream's extraction writes them");
}

// [10, F] -> [F, 10]
torch::Tensor checked(const torch::Tensor& levels, const Config& config, const std::string& where) {
  if (levels.size(1) == 0) refuse("the codes have no frame", config, where);
  const int64_t least = levels.min().item<int64_t>(), most = levels.max().item<int64_t>();
  if (least < 0 || most >= config.codebook_size)
    refuse("code " + std::to_string(least < 0 ? least : most) + " is outside 0.." +
               std::to_string(config.codebook_size - 1),
           config, where);
  return levels.t().contiguous();
}

}  // namespace

fs::path codes_file(const std::string& id) {
  return fs::path("codes") / (file_name_of(id) + ".npy");
}

torch::Tensor read_codes(const fs::path& npy, const Config& config, const std::string& where) {
  const auto file = NpyFile::open(npy);
  const TensorView& view = file->array();
  if (view.shape.size() != 2 || view.shape[0] != config.codebooks)
    refuse(npy.filename().string() + " is " + shape_text(view.shape), config, where);
  const torch::Tensor levels = copy_tensor(view);
  if (levels.is_floating_point())
    refuse(npy.filename().string() + " holds " + std::string(dtype_name(view.dtype)), config,
           where);
  return checked(levels.to(torch::kInt64), config, where);
}

torch::Tensor codes_of_levels(const nlohmann::ordered_json& levels, const Config& config,
                              const std::string& where) {
  const auto codebooks = static_cast<size_t>(config.codebooks);
  if (!levels.is_array() || levels.size() != codebooks)
    refuse("the codes have not " + std::to_string(codebooks) + " levels", config, where);
  std::vector<torch::Tensor> rows;
  for (const auto& level : levels) {
    std::vector<int64_t> values;
    for (const auto& value : level) {
      if (!value.is_number_integer()) refuse("a code is no integer", config, where);
      values.push_back(value.get<int64_t>());
    }
    if (!rows.empty() && std::ssize(values) != rows.front().size(0))
      refuse("the levels of a clip differ in length", config, where);
    rows.push_back(torch::tensor(values, torch::kInt64));
  }
  return checked(torch::stack(rows), config, where);
}

void write_codes(const fs::path& npy, const torch::Tensor& codes) {
  fs::create_directories(npy.parent_path());
  const torch::Tensor levels = codes.t().to(torch::kInt64).contiguous();  // [10, F]
  write_npy(npy, view_tensor("", levels), Durability::kRename);
}

int64_t codes_beyond(const torch::Tensor& codes, int64_t entries) {
  return codes.narrow(1, 1, codes.size(1) - 1).ge(entries).sum().item<int64_t>();
}

}  // namespace ttsft::fish_s2_pro
