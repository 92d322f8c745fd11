#include "ttsft/nn/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/random_weights.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Named = std::vector<std::pair<std::string, torch::Tensor>>;

Linear make_linear(int64_t in, int64_t out, LinearRole role,
                   LinearLayout layout = LinearLayout::kOutIn) {
  return Linear(LinearOptions{in, out, false, layout, role});
}

struct LayerImpl : torch::nn::Module {
  LayerImpl() {
    q_proj = register_module("q_proj", make_linear(6, 8, LinearRole::kAttention));
    o_proj = register_module("o_proj", make_linear(8, 6, LinearRole::kAttention));
    up_proj = register_module("up_proj", make_linear(6, 6, LinearRole::kMlp));
  }
  Linear q_proj{nullptr}, o_proj{nullptr}, up_proj{nullptr};
};
TORCH_MODULE(Layer);

// Two layers, a GPT-2 linear, and a head that neither role covers.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    layers = register_module("layers", torch::nn::ModuleList(Layer(), Layer()));
    c_attn =
        register_module("c_attn", make_linear(6, 6, LinearRole::kAttention, LinearLayout::kInOut));
    codec_head = register_module("codec_head", make_linear(6, 11, LinearRole::kHead));
    test::randomize(*this);
  }
  torch::Tensor forward(torch::Tensor x) {
    for (const auto& module : *layers) {
      auto& layer = *module->as<LayerImpl>();
      x = x + layer.o_proj(torch::tanh(layer.q_proj(x))) + torch::tanh(layer.up_proj(x));
    }
    return codec_head(c_attn(x));
  }
  torch::nn::ModuleList layers{nullptr};
  Linear c_attn{nullptr}, codec_head{nullptr};
};
TORCH_MODULE(Net);

std::vector<std::string> paths(const std::vector<AdapterSite>& sites) {
  std::vector<std::string> result;
  for (const AdapterSite& site : sites) result.push_back(site.path);
  return result;
}

std::vector<std::string> chosen(const std::vector<std::string>& endings) {
  Net net;
  return paths(select_sites(adapter_sites(*net), {endings, ""}));
}

std::vector<std::string> chosen_by_regex(const std::string& regex) {
  Net net;
  return paths(select_sites(adapter_sites(*net), {{}, regex}));
}

PeftConfig config_of(int64_t rank = 2) {
  PeftConfig config;
  config.r = rank;
  config.lora_alpha = 6;
  config.target_modules = {{"q_proj", "up_proj"}, ""};
  return config;
}

LoraSet make_set(Net& net, const std::vector<std::string>& endings = {"q_proj", "up_proj"},
                 uint64_t seed = 7) {
  const auto sites = select_sites(adapter_sites(*net), {endings, ""});
  return LoraSet::create(sites, config_of(), torch::kCPU, seed);
}

// As after training: B is no longer zero.
void train_a_little(const LoraSet& set) {
  for (const auto& [name, tensor] : set.parameters()) {
    if (name.find("lora_B") != std::string::npos) {
      torch::Tensor(tensor).copy_(random(tensor.sizes(), derive_seed(1, name)));
    }
  }
}

TEST(AdapterSites, EveryLinearInOrder) {
  Net net;
  EXPECT_THAT(
      paths(adapter_sites(*net)),
      ElementsAre("layers.0.q_proj", "layers.0.o_proj", "layers.0.up_proj", "layers.1.q_proj",
                  "layers.1.o_proj", "layers.1.up_proj", "c_attn", "codec_head"));
  EXPECT_EQ(adapter_sites(*net).back().linear.get(), net->codec_head.get());
}

TEST(SelectSites, EndingsInTheModulesOrder) {
  EXPECT_THAT(chosen({"up_proj", "q_proj"}), ElementsAre("layers.0.q_proj", "layers.0.up_proj",
                                                         "layers.1.q_proj", "layers.1.up_proj"));
  EXPECT_THAT(chosen({"1.q_proj", "codec_head"}), ElementsAre("layers.1.q_proj", "codec_head"));
  EXPECT_THAT(chosen({"q_proj", "layers.0.q_proj"}),
              ElementsAre("layers.0.q_proj", "layers.1.q_proj"));
}

TEST(SelectSites, Roles) {
  EXPECT_THAT(chosen({"attention"}), ElementsAre("layers.0.q_proj", "layers.0.o_proj",
                                                 "layers.1.q_proj", "layers.1.o_proj", "c_attn"));
  EXPECT_THAT(chosen({"mlp"}), ElementsAre("layers.0.up_proj", "layers.1.up_proj"));
  EXPECT_THAT(chosen({"mlp", "codec_head"}),
              ElementsAre("layers.0.up_proj", "layers.1.up_proj", "codec_head"));
}

TEST(SelectSites, RegexOverTheWholePath) {
  EXPECT_THAT(chosen_by_regex(R"(layers\.1\..*)"),
              ElementsAre("layers.1.q_proj", "layers.1.o_proj", "layers.1.up_proj"));
  EXPECT_THAT(chosen_by_regex(".*(q_proj|head)"),
              ElementsAre("layers.0.q_proj", "layers.1.q_proj", "codec_head"));
}

TEST(SelectSites, NothingFoundIsWrongUsageAndNamesWhatThereIs) {
  const auto all_named = AllOf(HasSubstr("lora.targets"), HasSubstr("attention, mlp, "),
                               HasSubstr("c_attn, codec_head, o_proj, q_proj, up_proj"));
  EXPECT_THAT(message_of<UsageError>([] { chosen({"query"}); }),
              AllOf(HasSubstr("'query' matches no linear layer"), all_named));
  // A part of a name is not its ending.
  EXPECT_THAT(message_of<UsageError>([] { chosen({"proj"}); }), HasSubstr("'proj'"));
  EXPECT_THAT(message_of<UsageError>([] {
                chosen({"q_proj", "gate_proj", "mlp"});
              }),
              AllOf(HasSubstr("'gate_proj' matches no linear layer"), all_named));
  EXPECT_THAT(message_of<UsageError>([] { chosen({}); }),
              AllOf(HasSubstr("no targets are named"), all_named));
  EXPECT_THAT(message_of<UsageError>([] { chosen_by_regex("q_proj"); }),
              AllOf(HasSubstr("'q_proj' matches no linear layer"), all_named));
  EXPECT_THAT(message_of<UsageError>([] { chosen_by_regex("(q_proj"); }),
              HasSubstr("is not a regular expression"));
}

TEST(PeftTargets, RolesBecomePeftsNames) {
  Net net;
  const auto in_peft = [&](const std::vector<std::string>& endings) {
    const LoraTargets targets{endings, ""};
    return peft_targets(select_sites(adapter_sites(*net), targets), targets).endings;
  };
  EXPECT_THAT(in_peft({"attention"}), ElementsAre("c_attn", "o_proj", "q_proj"));
  EXPECT_THAT(in_peft({"mlp", "1.q_proj", "up_proj"}), ElementsAre("1.q_proj", "up_proj"));
  const LoraTargets regex{{}, ".*q_proj"};
  EXPECT_EQ(peft_targets(select_sites(adapter_sites(*net), regex), regex), regex);
}

TEST(LoraSet, FreshAdaptersChangeNothing) {
  Net net;
  const torch::Tensor x = random({3, 6}, 1), base = net->forward(x);
  const LoraSet set = make_set(net, {"attention", "mlp", "codec_head"});
  EXPECT_THAT(set.sites(), SizeIs(8));
  expect_equal(net->forward(x), base);
}

TEST(LoraSet, FreshAdaptersAreDrawnAsPeftDoes) {
  Linear linear(300, 20);
  const LoraSet set = LoraSet::create({{"big", linear}}, config_of(16), torch::kCPU, 7);
  const LoraSlot& slot = *linear->lora();
  EXPECT_EQ(test::shape_of(slot.A), "[16, 300]");
  EXPECT_EQ(test::shape_of(slot.B), "[20, 16]");
  EXPECT_EQ(slot.A.scalar_type(), torch::kFloat32);
  EXPECT_EQ(slot.B.abs().max().item<double>(), 0.0);
  EXPECT_EQ(slot.scale, 1.0);
  EXPECT_DOUBLE_EQ(slot.scaling, 6.0 / 16.0);
  const double bound = 1 / std::sqrt(300.0);  // kaiming_uniform, a = sqrt(5)
  EXPECT_LE(slot.A.abs().max().item<double>(), bound);
  EXPECT_GT(slot.A.abs().max().item<double>(), 0.99 * bound);
  EXPECT_NEAR(slot.A.mean().item<double>(), 0, 0.05 * bound);
  EXPECT_NEAR(slot.A.var().item<double>(), bound * bound / 3, 0.05 * bound * bound);
}

TEST(LoraSet, AnAdapterDependsOnSeedAndSiteAlone) {
  Net all, two, one, reversed, other;
  const LoraSet wide = make_set(all, {"attention", "mlp"}), again = make_set(two, {"q_proj"});
  const LoraSet single = make_set(one, {"1.q_proj"}), seed = make_set(other, {"q_proj"}, 8);
  auto sites = select_sites(adapter_sites(*reversed), {{"attention", "mlp"}, ""});
  std::reverse(sites.begin(), sites.end());
  const LoraSet backwards = LoraSet::create(sites, config_of(), torch::kCPU, 7);
  const auto a_of = [](Net& net, size_t layer) {
    return net->layers[layer]->as<LayerImpl>()->q_proj->lora()->A;
  };
  expect_equal(a_of(two, 0), a_of(all, 0));
  expect_equal(a_of(one, 1), a_of(all, 1));
  expect_equal(a_of(reversed, 0), a_of(all, 0));
  expect_equal(a_of(reversed, 1), a_of(all, 1));
  EXPECT_FALSE(torch::equal(a_of(all, 0), a_of(all, 1)));
  EXPECT_FALSE(torch::equal(a_of(all, 0), a_of(other, 0)));
}

TEST(LoraSet, ParametersAreSortedByName) {
  Net net;
  const LoraSet set = make_set(net, {"up_proj", "q_proj", "codec_head"});
  std::vector<std::string> names;
  int64_t count = 0;
  for (const auto& [name, tensor] : set.parameters()) {
    names.push_back(name);
    count += tensor.numel();
    EXPECT_EQ(tensor.scalar_type(), torch::kFloat32);
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  ASSERT_THAT(names, SizeIs(10));
  EXPECT_EQ(names[0], "base_model.model.codec_head.lora_A.weight");
  EXPECT_EQ(names[1], "base_model.model.codec_head.lora_B.weight");
  EXPECT_EQ(names[2], "base_model.model.layers.0.q_proj.lora_A.weight");
  EXPECT_EQ(set.parameter_count(), count);
  EXPECT_EQ(count, 2 * ((6 + 11) + 2 * (6 + 8) + 2 * (6 + 6)));
  // The masters themselves, not copies.
  EXPECT_EQ(set.parameters()[0].second.data_ptr(), net->codec_head->lora()->A.data_ptr());
}

TEST(LoraSet, ScaleAndDropoutReachEverySite) {
  Net net;
  LoraSet set = make_set(net, {"attention", "mlp"});
  train_a_little(set);
  set.set_scale(0.25);
  set.set_dropout(0.5);
  EXPECT_EQ(set.config().lora_dropout, 0.5);
  for (const AdapterSite& site : set.sites()) {
    EXPECT_EQ(site.linear->lora()->scale, 0.25);
    EXPECT_EQ(site.linear->lora()->dropout, 0.5);
    EXPECT_EQ(site.linear->lora()->scaling, 3.0);
  }
}

TEST(LoraSet, MergeKeepsTheFunctionAndEmptiesTheSet) {
  Net net;
  const torch::Tensor x = random({3, 6}, 1), base = net->forward(x);
  LoraSet set = make_set(net, {"attention", "mlp", "codec_head"});
  train_a_little(set);
  set.set_scale(0.5);
  const torch::Tensor unmerged = net->forward(x);
  ASSERT_GT((unmerged - base).abs().max().item<double>(), 0.1);
  set.merge();
  EXPECT_THAT(set.sites(), IsEmpty());
  EXPECT_THAT(set.parameters(), IsEmpty());
  for (const AdapterSite& site : adapter_sites(*net)) EXPECT_FALSE(site.linear->lora().has_value());
  expect_close(net->forward(x), unmerged, 1e-4);
}

TEST(LoraFolder, SavedAndLoadedAgain) {
  const TemporaryFolder folder;
  Net trained;
  LoraSet set = make_set(trained);
  train_a_little(set);
  save_adapter(set, folder.path());

  Net fresh;
  const LoraSet loaded = LoraSet::load(*fresh, folder.path(), torch::kCPU);
  EXPECT_EQ(paths(loaded.sites()), paths(set.sites()));
  EXPECT_EQ(loaded.config().r, 2);
  EXPECT_EQ(loaded.config().lora_alpha, 6);
  EXPECT_EQ(loaded.config().target_modules, config_of().target_modules);
  const auto before = set.parameters(), after = loaded.parameters();
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].first, before[i].first);
    expect_equal(after[i].second, before[i].second, before[i].first);
  }
  const torch::Tensor x = random({3, 6}, 1);
  expect_equal(fresh->forward(x), trained->forward(x));
}

TEST(LoraFolder, HalfPrecisionAdaptersBecomeFloat32Masters) {
  const TemporaryFolder folder;
  Net trained;
  const LoraSet set = make_set(trained);
  train_a_little(set);
  save_adapter(set, folder.path());
  Named narrow;
  for (const auto& [name, tensor] : set.parameters()) {
    narrow.emplace_back(name, tensor.to(torch::kBFloat16));
  }
  save_tensors(folder / "adapter_model.safetensors", narrow);
  Net net;
  const LoraSet loaded = LoraSet::load(*net, folder.path(), torch::kCPU);
  for (size_t i = 0; i < narrow.size(); ++i) {
    EXPECT_EQ(loaded.parameters()[i].second.scalar_type(), torch::kFloat32);
    expect_equal(loaded.parameters()[i].second, narrow[i].second);
  }
}

// The complaint about a folder with these tensors, after which no site may carry an adapter.
std::string complaint(const Named& tensors) {
  const TemporaryFolder folder;
  write_text_atomic(folder / "adapter_config.json", peft_config_json(config_of()).dump());
  save_tensors(folder / "adapter_model.safetensors", tensors);
  Net net;
  const std::string message =
      message_of<DataError>([&] { LoraSet::load(*net, folder.path(), torch::kCPU); });
  for (const AdapterSite& site : adapter_sites(*net)) EXPECT_FALSE(site.linear->lora().has_value());
  EXPECT_THAT(message, HasSubstr(folder.path().string()));
  return message;
}

Named good_tensors() {
  return {{peft_name("layers.0.q_proj", 'A'), torch::zeros({2, 6})},
          {peft_name("layers.0.q_proj", 'B'), torch::zeros({8, 2})}};
}

TEST(LoraFolder, ThatDoesNotFitIsRefused) {
  Named tensors = good_tensors();
  tensors.emplace_back(peft_name("layers.1.up_proj", 'B'), torch::zeros({6, 2}));
  EXPECT_THAT(complaint(tensors), HasSubstr("layers.1.up_proj has only one of lora_A and lora_B"));

  tensors = good_tensors();
  tensors.emplace_back(peft_name("layers.2.q_proj", 'A'), torch::zeros({2, 6}));
  tensors.emplace_back(peft_name("layers.2.q_proj", 'B'), torch::zeros({8, 2}));
  EXPECT_THAT(complaint(tensors), HasSubstr("layers.2.q_proj is not in this model"));

  tensors = good_tensors();
  tensors[0].second = torch::zeros({3, 6});
  tensors[1].second = torch::zeros({8, 3});
  EXPECT_THAT(
      complaint(tensors),
      HasSubstr("layers.0.q_proj has A [3, 6] and B [8, 3], wanted rank 2 between 6 and 8"));

  tensors = good_tensors();
  tensors[0].second = torch::zeros({2, 7});
  EXPECT_THAT(complaint(tensors), HasSubstr("A [2, 7]"));

  tensors = good_tensors();
  tensors.emplace_back("layers.0.q_proj.weight", torch::zeros({8, 6}));
  EXPECT_THAT(complaint(tensors), HasSubstr("layers.0.q_proj.weight is not a LoRA tensor"));
}

TEST(LoraFolder, ThatMatchesNothingIsRefused) {
  EXPECT_THAT(complaint({}), HasSubstr("it holds no LoRA tensor"));
  Named tensors;
  for (int i = 0; i < 8; ++i) {
    tensors.emplace_back(peft_name("other." + std::to_string(i), 'A'), torch::zeros({2, 6}));
  }
  EXPECT_THAT(complaint(tensors),
              AllOf(HasSubstr("other.0 is not in this model"), HasSubstr("other.4 "),
                    HasSubstr("and 3 more"), HasSubstr("was it trained for another model?")));
}

TEST(LoraFolder, WithoutItsFilesIsRefused) {
  const TemporaryFolder folder;
  Net net;
  EXPECT_THAT(message_of<DataError>([&] { LoraSet::load(*net, folder.path(), torch::kCPU); }),
              HasSubstr("adapter_config.json"));
  write_text_atomic(folder / "adapter_config.json", peft_config_json(config_of()).dump());
  EXPECT_THAT(message_of<DataError>([&] { LoraSet::load(*net, folder.path(), torch::kCPU); }),
              HasSubstr("adapter_model.safetensors"));
}

// PEFT's lora.Embedding: A starts at zero and B does not; what is looked up and a tied head agree.
TEST(Lora, ATableCarriesAnAdapter) {
  struct TiedImpl : torch::nn::Module {
    TiedImpl() { embeddings = register_module("embeddings", Table(5, 3)); }
    Table embeddings{nullptr};
  } net;
  const torch::NoGradGuard no_grad;
  net.embeddings->weight.copy_(random({5, 3}, 1));
  const torch::Tensor ids = torch::tensor({4, 0, 4}, torch::kInt64);
  const torch::Tensor before = net.embeddings(ids);
  PeftConfig config;
  config.r = 2;
  config.lora_alpha = 4;
  config.target_modules.endings = {"embeddings"};
  const LoraSet set = LoraSet::create(adapter_sites(net), config, torch::kCPU, 1);
  expect_equal(net.embeddings(ids), before, "A is zero");
  auto named = set.parameters();
  ASSERT_EQ(named.size(), 2u);
  EXPECT_EQ(named[0].first, "base_model.model.embeddings.lora_embedding_A");
  EXPECT_EQ(named[0].second.sizes().vec(), (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(named[1].second.sizes().vec(), (std::vector<int64_t>{3, 2}));
  EXPECT_GT(named[1].second.abs().min().item<double>(), 0);
  named[0].second.copy_(random({2, 5}, 2));
  const torch::Tensor wanted =
      before + 2 * torch::matmul(named[1].second, named[0].second).t().index_select(0, ids);
  expect_close(net.embeddings(ids), wanted, 1e-6, "row + scale B A[:, id]");
  expect_close(net.embeddings->effective_table().index_select(0, ids), wanted, 1e-6, "the head");

  const TemporaryFolder folder;
  save_adapter(set, folder.path());
  TiedImpl other;
  other.embeddings->weight.copy_(net.embeddings->weight);
  LoraSet loaded = LoraSet::load(other, folder.path(), torch::kCPU);
  loaded.merge();
  expect_close(other.embeddings->weight.index_select(0, ids), wanted, 1e-6, "merged");
}

}  // namespace
}  // namespace ttsft
