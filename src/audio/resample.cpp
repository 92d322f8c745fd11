#include <algorithm>

extern "C" {
#include <libavutil/opt.h>
}

#include "ffmpeg.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr int kSoxrPrecision = 20;  // bits: the recipe that librosa calls soxr_hq

void require_rates(int from, int to) {
  if (from > 0 && to > 0) return;
  throw DataError(
      "cannot resample from " + std::to_string(from) + " to " + std::to_string(to) + " Hz", {},
      "both rates must be positive");
}

void check(int result, const char* what) {
  if (result >= 0) return;
  throw RunError(what, ffmpeg::reason(result),
                 "install a libswresample built with libsoxr (Debian's is)");
}

ffmpeg::Resampler make_soxr(int from, int to) {
  SwrContext* raw = nullptr;
  AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
  check(swr_alloc_set_opts2(&raw, &mono, AV_SAMPLE_FMT_FLT, to, &mono, AV_SAMPLE_FMT_FLT, from, 0,
                            nullptr),
        "cannot set up the resampler");
  ffmpeg::Resampler swr(raw);
  check(av_opt_set_int(raw, "resampler", SWR_ENGINE_SOXR, 0), "swresample has no soxr engine");
  check(av_opt_set_double(raw, "precision", kSoxrPrecision, 0), "swresample has no soxr engine");
  check(swr_init(raw), "swresample has no soxr engine");
  return swr;
}

}  // namespace

std::vector<float> resample_soxr(std::span<const float> samples, int from, int to) {
  require_rates(from, to);
  if (from == to || samples.empty()) return {samples.begin(), samples.end()};
  const auto length =
      int64_t((samples.size() * uint64_t(to) + uint64_t(from) - 1) / uint64_t(from));
  const ffmpeg::Resampler swr = make_soxr(from, to);
  std::vector<float> out(size_t(length) + 1);  // one more, so that a surplus shows
  int64_t done = 0;
  const auto convert = [&](const float* input, int count) {
    for (;;) {
      const auto room = int(std::min<int64_t>(int64_t(out.size()) - done, 1 << 24));
      if (room == 0) return;
      auto* target = reinterpret_cast<uint8_t*>(out.data() + done);
      const auto* source = reinterpret_cast<const uint8_t*>(input);
      const int got = swr_convert(swr.get(), &target, room, input ? &source : nullptr, count);
      check(got, "resampling failed");
      done += got;
      if (input || got == 0) return;  // flushing goes on until nothing comes
    }
  };
  constexpr size_t kChunk = 1 << 16;  // bounds what swresample buffers
  for (size_t begin = 0; begin < samples.size(); begin += kChunk) {
    convert(samples.data() + begin, int(std::min(kChunk, samples.size() - begin)));
  }
  convert(nullptr, 0);
  out.resize(std::min<size_t>(out.size(), size_t(done)));
  out.resize(size_t(length), 0.0f);
  return out;
}

std::vector<float> at_rate(Audio audio, int sample_rate) {
  if (audio.sample_rate == sample_rate) return std::move(audio.samples);
  return resample_soxr(audio.samples, audio.sample_rate, sample_rate);
}

}  // namespace ttsft
