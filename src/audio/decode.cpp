#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string_view>

#include "ffmpeg.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Full scale 1.0. 24-bit samples arrive in the upper bits of 32.
float to_float(uint8_t v) {
  return float(int(v) - 128) / 128.0f;
}
float to_float(int16_t v) {
  return float(v) / 32768.0f;
}
float to_float(int32_t v) {
  return float(double(v) / 2147483648.0);
}
float to_float(int64_t v) {
  return float(double(v) / 9223372036854775808.0);
}
float to_float(float v) {
  return v;
}
float to_float(double v) {
  return float(v);
}

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f s", seconds);
  return text.data();
}

uint32_t little_endian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | uint8_t(bytes[i]);
  return value;
}

// FFmpeg takes the length of a wav from the size of the file: whether that is what the header
// announces is seen here. Sizes near the end of 31 or 32 bits are what programs write that do not
// know the length. A last frame that is not whole is dropped, as every player does.
bool wav_is_whole(const fs::path& file, uint64_t frame_bytes) {
  std::ifstream in(file, std::ios::binary);
  std::array<char, 12> head{};
  in.read(head.data(), 12);
  if (std::string_view(head.data(), 4) != "RIFF") return true;  // RF64 and the like
  for (uint64_t at = 12; in.seekg(std::streamoff(at)) && in.read(head.data(), 8);) {
    const uint64_t size = little_endian(head.data() + 4);
    if (std::string_view(head.data(), 4) == "data") {
      return size >= 0x7fff0000 || at + 8 + size < fs::file_size(file) + frame_bytes;
    }
    at += 8 + size + size % 2;
  }
  return true;
}

class Decoder {
 public:
  explicit Decoder(const fs::path& file) : file_(file) {}
  AudioFile run();

 private:
  void open();
  void open_codec();
  void decode_packet(const AVPacket* packet);  // nullptr: flush
  void append(const AVFrame& frame);
  template <typename T>
  void append_samples(const AVFrame& frame, bool planar);
  void check_length() const;
  bool is_raw() const { return std::string_view(out_.codec).starts_with("pcm_"); }
  uint64_t frame_bytes() const {  // of raw samples
    return static_cast<uint64_t>(std::max(stream_->codecpar->block_align, 1));
  }
  [[noreturn]] void fail(const std::string& what, int code, const std::string& remedy) const;
  [[noreturn]] void fail_damaged(int code) const;

  const fs::path& file_;
  ffmpeg::FormatContext format_;
  ffmpeg::CodecContext codec_;
  ffmpeg::Frame frame_;
  AVStream* stream_ = nullptr;  // owned by format_
  AudioFile out_;
  std::vector<double> squares_;  // per channel
};

void Decoder::fail(const std::string& what, int code, const std::string& remedy) const {
  throw DataError(code ? what + " (" + ffmpeg::reason(code) + ")" : what, file_.string(), remedy);
}

void Decoder::fail_damaged(int code) const {
  fail("audio is damaged at " + seconds_text(out_.audio.seconds()), code,
       "restore the file or drop the row: its text would no longer match");
}

void Decoder::open() {
  std::error_code error;
  if (!fs::exists(file_, error)) fail("no such audio file", 0, "check the path in the data list");
  if (!fs::is_regular_file(file_, error)) fail("not an audio file", 0, "name a file");
  AVFormatContext* raw = nullptr;
  // "file:" keeps a colon in a name from being read as a protocol.
  const int opened =
      avformat_open_input(&raw, ("file:" + file_.string()).c_str(), nullptr, nullptr);
  if (opened < 0) {
    fail("cannot read audio", opened, "give a wav, flac, mp3, ogg or m4a file");
  }
  format_.reset(raw);
  const int found = avformat_find_stream_info(raw, nullptr);
  if (found < 0) fail("cannot read audio", found, "the file is damaged: restore it");
  for (unsigned i = 0; i < raw->nb_streams; ++i) {
    const bool audio = raw->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
    if (audio && !stream_) {
      stream_ = raw->streams[i];
    } else {
      raw->streams[i]->discard = AVDISCARD_ALL;
    }
  }
  if (!stream_) fail("no audio in this file", 0, "give a wav, flac, mp3, ogg or m4a file");
  out_.container = raw->iformat->name;
  out_.codec = avcodec_get_name(stream_->codecpar->codec_id);
}

void Decoder::open_codec() {
  const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
  if (!codec) {
    fail("this FFmpeg has no decoder for '" + out_.codec + "'", 0,
         "convert the file to wav or flac");
  }
  codec_.reset(avcodec_alloc_context3(codec));
  if (!codec_) throw std::bad_alloc();
  int result = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
  codec_->pkt_timebase = stream_->time_base;  // encoder delay and padding are cut in these units
  codec_->thread_count = 1;                   // files are decoded side by side
  // FLAC carries checksums; elsewhere a strict reader refuses files that every player accepts.
  if (codec->id == AV_CODEC_ID_FLAC) codec_->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
  if (result >= 0) result = avcodec_open2(codec_.get(), codec, nullptr);
  if (result < 0) {
    fail("cannot decode '" + out_.codec + "'", result, "convert the file to wav or flac");
  }
}

template <typename T>
void Decoder::append_samples(const AVFrame& frame, bool planar) {
  const int channels = out_.channels;
  std::vector<float>& mono = out_.audio.samples;
  const auto* interleaved = reinterpret_cast<const T*>(frame.extended_data[0]);
  for (int i = 0; i < frame.nb_samples; ++i) {
    float sum = 0;  // in float, channel after channel, as numpy's mean over channels
    for (int c = 0; c < channels; ++c) {
      const T value = planar ? reinterpret_cast<const T*>(frame.extended_data[c])[i]
                             : interleaved[int64_t(i) * channels + c];
      const float x = to_float(value);
      squares_[c] += double(x) * x;
      sum += x;
    }
    mono.push_back(channels == 1 ? sum : sum / float(channels));
  }
}

void Decoder::append(const AVFrame& frame) {
  if (out_.channels == 0) {
    out_.channels = frame.ch_layout.nb_channels;
    out_.audio.sample_rate = frame.sample_rate;
    squares_.assign(size_t(std::max(out_.channels, 0)), 0.0);
    if (out_.channels < 1 || frame.sample_rate < 1) {
      fail("no channels or no sample rate in the header", 0, "the file is damaged: restore it");
    }
  }
  if (frame.ch_layout.nb_channels != out_.channels || frame.sample_rate != out_.audio.sample_rate) {
    fail("sample rate or channel count changes at " + seconds_text(out_.audio.seconds()), 0,
         "split the file there");
  }
  const auto format = AVSampleFormat(frame.format);
  const bool planar = av_sample_fmt_is_planar(format) == 1;
  switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8:
      return append_samples<uint8_t>(frame, planar);
    case AV_SAMPLE_FMT_S16:
      return append_samples<int16_t>(frame, planar);
    case AV_SAMPLE_FMT_S32:
      return append_samples<int32_t>(frame, planar);
    case AV_SAMPLE_FMT_S64:
      return append_samples<int64_t>(frame, planar);
    case AV_SAMPLE_FMT_FLT:
      return append_samples<float>(frame, planar);
    case AV_SAMPLE_FMT_DBL:
      return append_samples<double>(frame, planar);
    default:
      fail("unknown sample format", 0, "convert the file to wav or flac");
  }
}

// Tags that some programs append to an mp3 come out of the demuxer as if they were audio.
bool is_tag(const AVPacket& packet) {
  const std::string_view data(reinterpret_cast<const char*>(packet.data), size_t(packet.size));
  for (const char* tag : {"APETAGEX", "LYRICSBEGIN", "TAG", "ID3"}) {
    if (data.starts_with(tag)) return true;
  }
  return false;
}

void Decoder::decode_packet(const AVPacket* packet) {
  const int sent = avcodec_send_packet(codec_.get(), packet);
  if (sent == AVERROR_INVALIDDATA && packet && codec_->codec_id == AV_CODEC_ID_MP3 &&
      is_tag(*packet)) {
    return;
  }
  if (sent < 0) fail_damaged(sent);
  for (;;) {
    const int received = avcodec_receive_frame(codec_.get(), frame_.get());
    if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
    if (received < 0) fail_damaged(received);
    append(*frame_);
  }
}

// A copy that broke off decodes without an error; the header still says how long the file was.
void Decoder::check_length() const {
  if (out_.container == "wav") {
    if (!wav_is_whole(file_, frame_bytes())) {
      fail("audio is cut off: the wav header announces more data than the file has", 0,
           "copy the file again");
    }
    return;
  }
  if (format_->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE) return;
  if (is_raw() || stream_->duration == AV_NOPTS_VALUE || stream_->duration <= 0) return;
  const double promised = double(stream_->duration) * av_q2d(stream_->time_base);
  const double decoded = out_.audio.seconds();
  if (decoded >= promised * 0.98 - 0.25) return;  // headers count encoder delay and whole packets
  fail("audio is cut off: the header says " + seconds_text(promised) + ", there are " +
           seconds_text(decoded),
       0, "copy the file again, or re-encode it if it is meant to be that short");
}

AudioFile Decoder::run() {
  open();
  open_codec();
  frame_.reset(av_frame_alloc());
  const ffmpeg::Packet packet(av_packet_alloc());
  if (!frame_ || !packet) throw std::bad_alloc();
  for (;;) {
    const int read = av_read_frame(format_.get(), packet.get());
    if (read == AVERROR_EOF) break;
    if (read == AVERROR(EAGAIN)) continue;
    if (read < 0) fail_damaged(read);
    if (packet->stream_index == stream_->index) {
      if ((packet->flags & AV_PKT_FLAG_CORRUPT) && !is_raw()) fail_damaged(AVERROR_INVALIDDATA);
      if (is_raw()) {
        av_shrink_packet(packet.get(),
                         packet->size - packet->size % static_cast<int>(frame_bytes()));
      }
      if (packet->size > 0) decode_packet(packet.get());
    }
    av_packet_unref(packet.get());
  }
  decode_packet(nullptr);
  const size_t count = out_.audio.samples.size();
  if (count == 0) fail("no samples in this audio file", 0, "drop the row or restore the file");
  check_length();
  for (const double square : squares_)
    out_.channel_rms.push_back(std::sqrt(square / double(count)));
  return std::move(out_);
}

}  // namespace

AudioFile decode_audio(const fs::path& file) {
  static std::once_flag once;  // FFmpeg's own lines would break our one line per error
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
  return Decoder(file).run();
}

bool is_recording(const std::filesystem::path& file) {
  const std::string extension = file.extension().string();
  return extension != ".safetensors" && extension != ".npy" && extension != ".pt" &&
         extension != ".pth";
}

}  // namespace ttsft
