#include "ttsft/text/sentence_piece.h"

#include <sentencepiece_processor.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "ttsft/core/error.h"
#include "utf8.h"

namespace ttsft {

struct SentencePiece::Impl {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePiece::SentencePiece(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SentencePiece::~SentencePiece() = default;
SentencePiece::SentencePiece(SentencePiece&&) noexcept = default;
SentencePiece& SentencePiece::operator=(SentencePiece&&) noexcept = default;

SentencePiece SentencePiece::from_file(const std::filesystem::path& model) {
  // Read here: the library would print what goes wrong.
  std::ifstream in(model, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in || in.bad()) {
    throw DataError("cannot read the tokenizer", model.string(),
                    "copy it from the model's release");
  }
  auto impl = std::make_unique<Impl>();
  if (bytes.empty() || !impl->processor.LoadFromSerializedProto(bytes).ok() ||
      impl->processor.GetPieceSize() <= 0) {
    throw DataError("not a SentencePiece model", model.string(),
                    "copy the file again from the release");
  }
  return SentencePiece(std::move(impl));
}

std::vector<std::string> SentencePiece::pieces(std::string_view utf8) const {
  require_valid_utf8(utf8);
  std::vector<std::string> pieces;
  const auto status = impl_->processor.Encode({utf8.data(), utf8.size()}, &pieces);
  if (!status.ok()) throw RunError("SentencePiece failed", {}, status.ToString());
  return pieces;
}

int64_t SentencePiece::id(std::string_view piece) const {
  return impl_->processor.PieceToId({piece.data(), piece.size()});
}

std::vector<int64_t> SentencePiece::ids(const std::vector<std::string>& pieces) const {
  std::vector<int64_t> ids;
  ids.reserve(pieces.size());
  for (const std::string& piece : pieces) ids.push_back(id(piece));
  return ids;
}

std::string SentencePiece::piece(int64_t id) const {
  if (id < 0 || id >= size())
    throw std::logic_error("SentencePiece: no piece " + std::to_string(id));
  return impl_->processor.IdToPiece(static_cast<int>(id));
}

int64_t SentencePiece::size() const {
  return impl_->processor.GetPieceSize();
}

int64_t SentencePiece::unknown_id() const {
  return impl_->processor.unk_id();
}

}  // namespace ttsft
