#include "src/train/metrics.h"

#include "train_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

TEST(MetricsLog, CutsRowsBehindTheCheckpoint) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl",
               "{\"step\":0,\"validation_loss\":3.0}\n{\"step\":1,\"loss\":2.0}\n"
               "{\"step\":2,\"loss\":1.0}\n{\"step\":3,\"lo");
  EXPECT_EQ(read_metrics(folder.path()).size(), 3U);
  MetricsLog(folder.path(), 1).write({{"step", 2}, {"loss", 1.5}});
  const auto rows = read_metrics(folder.path());
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["validation_loss"], 3.0);
  EXPECT_EQ(rows[2]["loss"], 1.5);
  MetricsLog(folder.path(), -1);
  EXPECT_TRUE(read_metrics(folder.path()).empty());
}

TEST(MetricsLog, RefusesAForeignFile) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", "{\"step\":1,\"loss\":2.0}\nhello\n");
  const std::string message = message_of<DataError>([&] { read_metrics(folder.path()); });
  EXPECT_NE(message.find("line 2 is no row of metrics"), std::string::npos) << message;
}

}  // namespace
}  // namespace ttsft
