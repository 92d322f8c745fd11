// ttsft_fixture MODEL --size tiny|release --out DIR [--seed N] [--without-encoder]: a random
// checkpoint in the released layout, for tests, benchmarks and the quickstart.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/model/fixture.h"
#include "ttsft/model/registry.h"

namespace {

int write(const std::string& model, const std::string& size, const std::filesystem::path& out,
          uint64_t seed, bool without_encoder) {
  using ttsft::FixtureSize;
  const ttsft::ModelAdapter& adapter = ttsft::find_model(model);
  auto files = ttsft::fixture_files(adapter.info().folder,
                                    size == "release" ? FixtureSize::kRelease : FixtureSize::kTiny);
  const auto left_out =
      without_encoder ? std::erase_if(files, [](const auto& file) { return file.encoder; }) : 0;
  if (without_encoder && left_out == 0)
    throw ttsft::UsageError("the encoder of " + model + " has no file of its own",
                            "--without-encoder", "leave it out");
  ttsft::write_fixture(files, out, seed);
  ttsft::log_info(adapter.recognise(out), ", random weights of seed ", seed, ": ", out.string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a random checkpoint in the layout in which a model is released.");
  std::string model, size = "tiny", out;
  uint64_t seed = 1;
  bool without_encoder = false;
  app.add_option("model", model, "as in `ttsft models`")->required();
  app.add_option("--size", size, "tiny, or the released dimensions")
      ->check(CLI::IsMember({"tiny", "release"}))
      ->capture_default_str();
  app.add_option("--out", out, "folder to make")->required();
  app.add_option("--seed", seed, "other seeds give other weights")->capture_default_str();
  app.add_flag("--without-encoder", without_encoder,
               "as a release that encodes no recordings (voxtral)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ttsft::ExitCode::kUsage);
  }

  ttsft::init_logging(false);
  try {
    return write(model, size, out, seed, without_encoder);
  } catch (const ttsft::Error& error) {
    ttsft::log_error(error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    ttsft::log_error("cannot write the fixture: ", error.what());
    return static_cast<int>(ttsft::ExitCode::kRunFailed);
  }
}
