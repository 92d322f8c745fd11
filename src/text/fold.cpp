#include "ttsft/text/fold.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include "ttsft/core/error.h"
#include "ttsft/text/split.h"

namespace ttsft {

std::string fold_name(std::string_view utf8) {
  if (!is_valid_utf8(utf8)) return std::string(utf8);
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(status);
  std::string out;
  if (U_SUCCESS(status)) {
    icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(utf8.size()));
    fold->normalizeUTF8(0, icu::StringPiece(utf8.data(), static_cast<int32_t>(utf8.size())), sink,
                        nullptr, status);
  }
  if (U_FAILURE(status))
    throw RunError("Unicode normalisation failed", u_errorName(status),
                   "reinstall the ICU data package");
  return out;
}

}  // namespace ttsft
