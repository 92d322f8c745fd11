// FFmpeg's structs as owned objects, and its error codes as one line of text.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/mem.h>
#include <libavutil/tx.h>
#include <libswresample/swresample.h>
}

#include <array>
#include <memory>
#include <string>

namespace ttsft::ffmpeg {

struct Free {
  void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(SwrContext* p) const { swr_free(&p); }
  void operator()(AVTXContext* p) const { av_tx_uninit(&p); }
  void operator()(float* p) const { av_free(p); }
};
using FormatContext = std::unique_ptr<AVFormatContext, Free>;
using CodecContext = std::unique_ptr<AVCodecContext, Free>;
using Packet = std::unique_ptr<AVPacket, Free>;
using Frame = std::unique_ptr<AVFrame, Free>;
using Resampler = std::unique_ptr<SwrContext, Free>;
using Transform = std::unique_ptr<AVTXContext, Free>;
using AlignedFloats = std::unique_ptr<float[], Free>;  // for av_tx, which wants its own alignment

inline AlignedFloats aligned_floats(size_t count) {
  AlignedFloats buffer(static_cast<float*>(av_calloc(count, sizeof(float))));
  if (!buffer) throw std::bad_alloc();
  return buffer;
}

inline std::string reason(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  return text.data();
}

}  // namespace ttsft::ffmpeg
