#include "models/indextts2/fixture/files.h"

#include <gtest/gtest.h>

#include <set>

#include "models/indextts2/arrays.h"
#include "models/indextts2/fixture/text.h"
#include "models/indextts2/w2v_bert.h"
#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/fixture_names.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/fixture.h"
#include "ttsft/text/sentence_piece.h"

namespace ttsft::indextts2::test {
namespace {

using ttsft::test::file_of;
using ttsft::test::without_numbers;

TEST(FixtureFiles, NamesAreUpstreams) {
  const auto files = fixture_files(FixtureSize::kTiny);
  for (const std::string path :
       {"gpt.pth", "s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt",
        "hf_cache/semantic_codec_model.safetensors", "hf_cache/campplus_cn_common.bin",
        "hf_cache/w2v-bert-2.0/model.safetensors", "hf_cache/bigvgan/bigvgan_generator.pt"}) {
    std::set<std::string> ours, upstreams;
    for (const FixtureTensor& tensor : file_of(files, path).tensors)
      ours.insert(without_numbers(tensor.name));
    const auto upstream = open_tensor_file(fixture().path("checkpoint/" + path));
    for (const TensorView& view : upstream->tensors()) upstreams.insert(without_numbers(view.name));
    EXPECT_EQ(ours, upstreams) << path;
  }
}

TEST(FixtureFiles, TheReleaseHasItsSize) {
  const auto files = fixture_files(FixtureSize::kRelease);
  EXPECT_EQ(file_of(files, "gpt.pth").tensors.size(), 665u);
  EXPECT_EQ(file_of(files, "hf_cache/semantic_codec_model.safetensors").tensors.size(), 239u);
  EXPECT_EQ(file_of(files, "hf_cache/campplus_cn_common.bin").tensors.size(), 937u);
  int64_t trained = 0;
  for (const FixtureTensor& tensor : file_of(files, "gpt.pth").tensors) {
    if (is_encoder_tensor(tensor.name)) continue;
    // The release's tokenizer has 12000 pieces, the fixture's a few.
    Shape shape = tensor.shape;
    if (tensor.name == "text_embedding.weight" || tensor.name.starts_with("text_head."))
      shape[0] = 12001;
    trained += shape_size(shape);
  }
  EXPECT_EQ(trained, 527'083'235);
}

TEST(FixtureFiles, LoadStrictly) {
  const TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  write_fixture(fixture_files(FixtureSize::kTiny), checkpoint, 1);
  const Config config = read_config(checkpoint);
  const auto gpt = open_gpt(config.gpt_file);
  load_gpt(gpt, config.gpt, 0.0, torch::kCPU, torch::kFloat32);
  load_conditioner(gpt, config.gpt, torch::kCPU);
  SpeechEncoder(locate(config, Auxiliary::kW2vBert), config.w2v_stats, torch::kCPU);
  EXPECT_NE(recognise_release(checkpoint), "");
}

TEST(FixtureFiles, TheTokenizerIsASentencePieceModel) {
  const TemporaryFolder folder;
  const FixtureTokenizer fixture = fixture_tokenizer({"THE"});
  const auto tokenizer = SentencePiece::from_file(folder.write("bpe.model", fixture.model));
  EXPECT_EQ(tokenizer.size(), fixture.pieces);
  EXPECT_EQ(tokenizer.unknown_id(), 2);
  EXPECT_EQ(tokenizer.id("<s>"), 0);
  EXPECT_EQ(tokenizer.id("THE"), fixture.pieces - 1);
  const auto pieces = tokenizer.pieces("NOT ILL");
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  EXPECT_EQ(joined, "▁NOT▁ILL");
  for (const int64_t id : tokenizer.ids(pieces)) EXPECT_GT(id, 2);
}

}  // namespace
}  // namespace ttsft::indextts2::test
