#include "ttsft/nn/loss.h"

#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/linear.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;

constexpr int64_t kRows = 19, kWidth = 6, kVocabulary = 11;

// One set of inputs, and what torch's own cross entropy makes of it in double.
struct Problem {
  torch::Tensor hidden, weight, targets, upstream;  // upstream: gradient of each row's loss
  torch::Tensor nll, grad_hidden, grad_weight, correct;

  explicit Problem(torch::Dtype dtype = torch::kFloat32, int64_t rows = kRows, double size = 1.0) {
    torch::Generator generator = make_generator(torch::kCPU, 4);
    targets = torch::randint(0, kVocabulary, {rows}, generator, torch::kInt64);
    hidden = random({rows, kWidth}, 1, size).to(dtype).requires_grad_(true);
    weight = random({kVocabulary, kWidth}, 2).to(dtype).requires_grad_(true);
    upstream = random({rows}, 3);
    upstream.slice(0, 0, rows, 5).zero_();  // some rows carry no weight

    const torch::Tensor h = hidden.detach().to(torch::kFloat64).requires_grad_(true);
    const torch::Tensor w = weight.detach().to(torch::kFloat64).requires_grad_(true);
    const torch::Tensor logits = torch::mm(h, w.t());
    nll = torch::nn::functional::cross_entropy(
        logits, targets, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
    (nll * upstream).sum().backward();
    grad_hidden = h.grad();
    grad_weight = w.grad();
    correct = logits.argmax(1) == targets;
  }

  void backward(const TokenLoss& loss) const { (loss.nll * upstream).sum().backward(); }
};

double peak(const torch::Tensor& x) {
  return x.abs().max().item<double>();
}

TEST(LinearCrossEntropy, EqualsTorchsForEveryChunk) {
  for (const int64_t chunk : {int64_t{1}, int64_t{7}, kRows, int64_t{4096}}) {
    const std::string what = "chunk " + std::to_string(chunk);
    const Problem p;
    const TokenLoss loss = linear_cross_entropy(p.hidden, p.weight, p.targets, true, chunk);
    EXPECT_EQ(loss.nll.scalar_type(), torch::kFloat32);
    expect_close(loss.nll, p.nll, 1e-5, what);
    expect_equal(loss.correct, p.correct, what);
    p.backward(loss);
    expect_close(p.hidden.grad(), p.grad_hidden, 1e-5, what);
    expect_close(p.weight.grad(), p.grad_weight, 1e-5, what);
  }
}

TEST(LinearCrossEntropy, ALargeVocabularyHasFewRowsInAChunk) {
  EXPECT_EQ(cross_entropy_rows(3072), 4096);
  EXPECT_EQ(cross_entropy_rows(12001), 1397);  // 64 MiB of float32 logits
  EXPECT_EQ(cross_entropy_rows(155776), 107);
  EXPECT_EQ(cross_entropy_rows(10'000'000), 64);
  EXPECT_EQ(cross_entropy_rows(0), 4096);
}

TEST(LinearCrossEntropy, FlagsOnlyWhenAskedFor) {
  const Problem p;
  EXPECT_FALSE(linear_cross_entropy(p.hidden, p.weight, p.targets).correct.defined());
  const torch::Tensor best = torch::mm(p.hidden, p.weight.t()).argmax(1);
  const TokenLoss right = linear_cross_entropy(p.hidden, p.weight, best, true, 7);
  EXPECT_TRUE(right.correct.all().item<bool>());
  EXPECT_FALSE(right.correct.requires_grad());
  const torch::Tensor other = (best + 1).remainder(kVocabulary);
  EXPECT_FALSE(linear_cross_entropy(p.hidden, p.weight, other, true).correct.any().item<bool>());
}

TEST(LinearCrossEntropy, Bf16KeepsFloat32Sums) {
  const Problem p(torch::kBFloat16);
  const TokenLoss loss = linear_cross_entropy(p.hidden, p.weight, p.targets, false, kRows);
  EXPECT_EQ(loss.nll.scalar_type(), torch::kFloat32);
  // Upstream's way: logits in bf16, everything after in float32.
  const torch::Tensor logits = torch::mm(p.hidden, p.weight.t()).to(torch::kFloat32);
  const torch::Tensor wanted = -logits.log_softmax(1).gather(1, p.targets.unsqueeze(1)).squeeze(1);
  expect_close(loss.nll, wanted, 1e-5);
  p.backward(loss);
  EXPECT_EQ(p.hidden.grad().scalar_type(), torch::kBFloat16);
  EXPECT_EQ(p.weight.grad().scalar_type(), torch::kBFloat16);
  expect_close(p.hidden.grad(), p.grad_hidden, 0.02 * peak(p.grad_hidden));
  expect_close(p.weight.grad(), p.grad_weight, 0.02 * peak(p.grad_weight));
}

TEST(LinearCrossEntropy, ChunksDoNotAddRoundingInBf16) {
  // The sum over chunks is float32: a thousand small pieces do not vanish beside a large one.
  const Problem many(torch::kBFloat16, 1000), one(torch::kBFloat16, 1000);
  many.backward(linear_cross_entropy(many.hidden, many.weight, many.targets, false, 1));
  one.backward(linear_cross_entropy(one.hidden, one.weight, one.targets, false, 1000));
  const double size = peak(one.grad_weight);
  expect_close(many.weight.grad(), one.grad_weight, 0.01 * size);
  expect_close(one.weight.grad(), one.grad_weight, 0.01 * size);
}

TEST(LinearCrossEntropy, FrozenInputsGetNoGradient) {
  {
    const Problem p;
    torch::Tensor(p.weight).requires_grad_(false);  // LoRA: the head is frozen
    p.backward(linear_cross_entropy(p.hidden, p.weight, p.targets, true, 7));
    expect_close(p.hidden.grad(), p.grad_hidden, 1e-5);
    EXPECT_FALSE(p.weight.grad().defined());
  }
  {
    const Problem p;
    torch::Tensor(p.hidden).requires_grad_(false);  // only the head is trained
    p.backward(linear_cross_entropy(p.hidden, p.weight, p.targets, true, 7));
    expect_close(p.weight.grad(), p.grad_weight, 1e-5);
    EXPECT_FALSE(p.hidden.grad().defined());
  }
  {
    const Problem p;
    torch::Tensor(p.weight).requires_grad_(false);
    torch::Tensor(p.hidden).requires_grad_(false);
    const TokenLoss loss = linear_cross_entropy(p.hidden, p.weight, p.targets);
    EXPECT_FALSE(loss.nll.requires_grad());
    expect_close(loss.nll, p.nll, 1e-5);
  }
  const Problem p;
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(linear_cross_entropy(p.hidden, p.weight, p.targets).nll.requires_grad());
}

TEST(LinearCrossEntropy, InputsThatAreResultsThemselves) {
  // Not leaves, and not contiguous: a column of a larger output, a head with an adapter.
  const Problem p;
  const torch::Tensor outputs = torch::stack({p.hidden * 3, p.hidden * 2}, 1);  // [N, 2, D]
  Linear head(kWidth, kVocabulary);
  head->weight.set_data(p.weight.detach() / 2);
  head->weight.requires_grad_(false);
  LoraSlot slot;
  slot.A = torch::zeros({2, kWidth}).requires_grad_(true);
  slot.B = random({kVocabulary, 2}, 8).requires_grad_(true);
  slot.scaling = 0.5;
  head->lora() = slot;
  const TokenLoss loss =
      linear_cross_entropy(outputs.select(1, 1), head->effective_weight(), p.targets, false, 7);
  expect_close(loss.nll, p.nll, 1e-5);
  p.backward(loss);
  expect_close(p.hidden.grad(), p.grad_hidden, 1e-5);  // 2 * (1 / 2)
  // The gradient of the weight is twice p's, since the inputs are; A gets scaling * B^T of it.
  const torch::Tensor b = slot.B.detach().to(torch::kFloat64);
  expect_close(slot.A.grad(), 0.5 * torch::mm(b.t(), 2 * p.grad_weight), 1e-4);
  expect_equal(slot.B.grad(), torch::zeros_like(slot.B));  // A is zero
}

TEST(LinearCrossEntropy, LargeLogitsStayFinite) {
  const Problem p(torch::kFloat32, kRows, 400.0);
  const TokenLoss loss = linear_cross_entropy(p.hidden, p.weight, p.targets, false, 7);
  ASSERT_GT(peak(p.nll), 500.0);
  expect_close(loss.nll, p.nll, 2e-3);
  p.backward(loss);
  EXPECT_TRUE(p.hidden.grad().isfinite().all().item<bool>());
  expect_close(p.weight.grad(), p.grad_weight, 1e-3 * peak(p.grad_weight));
}

TEST(LinearCrossEntropy, AHeadWithABias) {
  const Problem p;
  const torch::Tensor bias = random({kVocabulary}, 6).requires_grad_(true);
  const torch::Tensor h = p.hidden.detach().to(torch::kFloat64).requires_grad_(true);
  const torch::Tensor w = p.weight.detach().to(torch::kFloat64).requires_grad_(true);
  const torch::Tensor b = bias.detach().to(torch::kFloat64).requires_grad_(true);
  const torch::Tensor logits = torch::mm(h, w.t()) + b;
  const torch::Tensor wanted = torch::nn::functional::cross_entropy(
      logits, p.targets, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  (wanted * p.upstream).sum().backward();
  for (const int64_t chunk : {int64_t{7}, int64_t{4096}}) {
    for (const torch::Tensor& leaf : {p.hidden, p.weight, bias})
      torch::Tensor(leaf).mutable_grad() = torch::Tensor();
    const TokenLoss loss = linear_cross_entropy(p.hidden, p.weight, bias, p.targets, true, chunk);
    expect_close(loss.nll, wanted, 1e-5);
    expect_equal(loss.correct, logits.argmax(1) == p.targets);
    p.backward(loss);
    expect_close(p.hidden.grad(), h.grad(), 1e-5);
    expect_close(p.weight.grad(), w.grad(), 1e-5);
    expect_close(bias.grad(), b.grad(), 1e-5);
  }
}

TEST(LinearCrossEntropy, NoRows) {
  const torch::Tensor hidden = torch::empty({0, kWidth}).requires_grad_(true);
  const torch::Tensor weight = random({kVocabulary, kWidth}, 2).requires_grad_(true);
  const torch::Tensor targets = torch::empty({0}, torch::kInt64);
  const TokenLoss loss = linear_cross_entropy(hidden, weight, targets, true);
  EXPECT_EQ(test::shape_of(loss.nll), "[0]");
  EXPECT_EQ(test::shape_of(loss.correct), "[0]");
  loss.nll.sum().backward();
  EXPECT_EQ(test::shape_of(hidden.grad()), "[0, 6]");
  expect_equal(weight.grad(), torch::zeros_like(weight));
}

TEST(LinearCrossEntropy, WrongUse) {
  const Problem p;
  EXPECT_THROW(linear_cross_entropy(p.hidden, p.weight, p.targets, false, -1), std::logic_error);
  EXPECT_THROW(linear_cross_entropy(p.hidden, p.weight, p.targets.narrow(0, 0, 3)),
               std::logic_error);
  EXPECT_THROW(linear_cross_entropy(p.hidden, p.weight, torch::full_like(p.targets, kVocabulary)),
               c10::Error);
}

}  // namespace
}  // namespace ttsft
