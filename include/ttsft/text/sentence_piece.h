// A SentencePiece model file, by the library of that name. The file holds its own normaliser.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

class SentencePiece {
 public:
  // DataError when the file is missing or no model.
  static SentencePiece from_file(const std::filesystem::path& model);
  ~SentencePiece();
  SentencePiece(SentencePiece&&) noexcept;
  SentencePiece& operator=(SentencePiece&&) noexcept;

  // "▁" stands for a space. Characters that the model does not know come as they are written, a run
  // of them as one piece. Thread-safe; invalid UTF-8 is a DataError.
  std::vector<std::string> pieces(std::string_view utf8) const;
  int64_t id(std::string_view piece) const;  // unknown_id() for a piece that is none
  std::vector<int64_t> ids(const std::vector<std::string>& pieces) const;
  std::string piece(int64_t id) const;  // 0 <= id < size()
  int64_t size() const;
  int64_t unknown_id() const;

 private:
  struct Impl;
  explicit SentencePiece(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttsft
