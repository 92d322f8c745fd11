#include "models/indextts2/vocabulary.h"

#include "ttsft/core/error.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/regex.h"
#include "ttsft/text/sentence_piece.h"

namespace ttsft::indextts2 {
namespace {

constexpr std::string_view kSpace = "▁";

void check_beginning(const SentencePiece& own, const SentencePiece& extended,
                     const std::filesystem::path& file) {
  const std::string remedy = "train it on top of the release's bpe.model";
  if (extended.size() < own.size())
    throw DataError("the extended vocabulary has " + std::to_string(extended.size()) +
                        " pieces, bpe.model " + std::to_string(own.size()),
                    file.string(), remedy);
  for (int64_t id = 0; id < own.size(); ++id) {
    if (own.piece(id) == extended.piece(id)) continue;
    throw DataError("piece " + std::to_string(id) + " of the extended vocabulary is '" +
                        extended.piece(id) + "', of bpe.model '" + own.piece(id) + "'",
                    file.string(), remedy);
  }
}

// What the old tokenizer makes of a new piece; none where it knows nothing of it.
std::vector<int64_t> parts_of(const std::string& piece, const SentencePiece& own) {
  std::vector<std::string> pieces = own.pieces(replace_all(piece, kSpace, " "));
  // The tokenizer puts a space in front; a piece from within a word has none.
  if (!piece.starts_with(kSpace) && !pieces.empty() && pieces.front() == kSpace)
    pieces.erase(pieces.begin());
  std::vector<int64_t> ids;
  for (const int64_t id : own.ids(pieces))
    if (id != own.unknown_id()) ids.push_back(id);
  return ids;
}

}  // namespace

bool is_text_table(const std::string& tensor) {
  return tensor == "text_embedding.weight" || tensor == "text_head.weight" ||
         tensor == "text_head.bias";
}

int64_t extend_vocabulary(UnifiedVoice& model, const std::filesystem::path& own_file,
                          const std::filesystem::path& extended_file) {
  const SentencePiece own = SentencePiece::from_file(own_file);
  const SentencePiece extended = SentencePiece::from_file(extended_file);
  const int64_t rows = text_rows(extended.size());
  if (model->text_embedding->weight.size(0) >= rows) return model->text_embedding->weight.size(0);
  check_beginning(own, extended, extended_file);

  torch::NoGradGuard no_grad;
  const torch::Device device = model->text_embedding->weight.device();
  // Rows of the old tables that a new row is the mean of; every known piece where the old tokenizer
  // knows none of it.
  torch::Tensor weights = torch::zeros({rows - own.size(), own.size()});
  for (int64_t id = own.size(); id < rows; ++id) {
    torch::Tensor row = weights[id - own.size()];
    const std::vector<int64_t> parts =
        id < extended.size() ? parts_of(extended.piece(id), own) : std::vector<int64_t>();
    if (parts.empty()) {
      row.narrow(0, 3, own.size() - 3).fill_(1.0 / static_cast<double>(own.size() - 3));
      continue;
    }
    for (const int64_t part : parts) row[part] += 1.0 / static_cast<double>(parts.size());
  }
  weights = weights.to(device);
  const auto grow = [&](torch::Tensor& table) {
    const torch::Tensor kept = table.narrow(0, 0, own.size());
    const torch::Tensor fresh = torch::matmul(weights, kept.to(torch::kFloat32));
    table.set_data(torch::cat({kept, fresh.to(kept.scalar_type())}).contiguous());
  };
  grow(model->text_embedding->weight);
  grow(model->text_head->weight);
  grow(model->text_head->bias);
  return rows;
}

std::string with_text_tokens(const std::string& yaml, int64_t tokens) {
  static const Regex line("(?m)^(\\s*number_text_tokens\\s*:\\s*)\\d+");
  return line.replace(yaml, [&](const Regex::Groups& groups) {
    return std::string(groups[1]) + std::to_string(tokens);
  });
}

}  // namespace ttsft::indextts2
