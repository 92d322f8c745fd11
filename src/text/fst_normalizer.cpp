#include "ttsft/text/fst_normalizer.h"

#include <unicode/uchar.h>

#include <system_error>

#include "fst.h"
#include "tagged_tokens.h"
#include "utf8.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSimplify = "traditional_to_simple.fst";
constexpr const char* kNarrow = "full_to_half.fst";

fs::path tagger_of(GrammarLanguage language) {
  return fs::path(language == GrammarLanguage::kEnglish ? "en" : "zh") / "tn" / "tagger.fst";
}

fs::path verbalizer_of(GrammarLanguage language) {
  return tagger_of(language).replace_filename("verbalizer.fst");
}

bool has_all_grammars(const fs::path& folder) {
  for (const auto language : {GrammarLanguage::kEnglish, GrammarLanguage::kChinese}) {
    if (!fs::is_regular_file(folder / tagger_of(language)) ||
        !fs::is_regular_file(folder / verbalizer_of(language))) {
      return false;
    }
  }
  return fs::is_regular_file(folder / kSimplify) && fs::is_regular_file(folder / kNarrow);
}

}  // namespace

struct FstNormalizer::Impl {
  const MemberOrders& orders;
  Fst tagger, verbalizer;
  std::optional<Fst> before, after;  // Chinese: simplified characters, half-width signs
};

FstNormalizer::FstNormalizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FstNormalizer::~FstNormalizer() = default;
FstNormalizer::FstNormalizer(FstNormalizer&&) noexcept = default;
FstNormalizer& FstNormalizer::operator=(FstNormalizer&&) noexcept = default;

FstNormalizer FstNormalizer::from_folder(const fs::path& folder, GrammarLanguage language) {
  const bool chinese = language == GrammarLanguage::kChinese;
  Impl impl{chinese ? kChineseMemberOrders : kEnglishMemberOrders,
            Fst::from_file(folder / tagger_of(language)),
            Fst::from_file(folder / verbalizer_of(language)),
            {},
            {}};
  if (chinese) {
    impl.before = Fst::from_file(folder / kSimplify);
    impl.after = Fst::from_file(folder / kNarrow);
  }
  return FstNormalizer(std::make_unique<Impl>(std::move(impl)));
}

std::optional<std::string> FstNormalizer::normalize(std::string_view utf8) const {
  const auto through = [](const std::optional<Fst>& fst, std::optional<std::string> text) {
    return fst && text ? fst->transduce(*text) : text;
  };
  std::optional<std::string> text = through(impl_->before, std::string(utf8));
  if (text) text = impl_->tagger.transduce(*text);
  if (text) text = reorder_tokens(*text, impl_->orders);
  if (text && text->empty()) return text;  // white space alone
  if (text) text = impl_->verbalizer.transduce(*text);
  return through(impl_->after, std::move(text));
}

std::optional<fs::path> find_text_grammars(const fs::path& checkpoint) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  for (const fs::path& folder :
       {checkpoint / "wetext", program.parent_path() / "../share/ttsft/wetext",
        fs::path(TTSFT_GRAMMARS)}) {
    if (has_all_grammars(folder)) return folder;
  }
  return std::nullopt;
}

bool is_plain_text(std::string_view utf8) {
  constexpr std::string_view kSpoken = "#%&*/@\\_";  // punctuation to Unicode, words to a reader
  for (size_t offset = 0; offset < utf8.size();) {
    const size_t begin = offset;
    const int32_t c = next_code_point(utf8, offset);
    if ((U_GET_GC_MASK(c) & (U_GC_N_MASK | U_GC_S_MASK)) != 0) return false;
    if (c < 0x80 && kSpoken.find(utf8[begin]) != std::string_view::npos) return false;
  }
  return true;
}

}  // namespace ttsft
