#include "src/io/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/io/pickle_writer.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string error_of(const std::string& pickle) {
  return message_of<DataError>([&] { PickleMachine(bytes_of(pickle), "x.pt").run(); });
}

template <typename T>
T value_of(const std::string& pickle) {
  PickleMachine machine(bytes_of(pickle), "x.pt");
  const T* value = machine.run().get<T>();
  EXPECT_NE(value, nullptr);
  return value ? *value : T{};
}

TEST(Pickle, Numbers) {
  EXPECT_EQ(value_of<bool>("\x88."), true);
  EXPECT_EQ(value_of<bool>("\x89."), false);
  EXPECT_EQ(value_of<int64_t>("K\xff."), 255);
  EXPECT_EQ(value_of<int64_t>("M\xff\xff."), 65535);
  EXPECT_EQ(value_of<int64_t>("J\xfe\xff\xff\xff."), -2);
  EXPECT_EQ(value_of<int64_t>("\x8a\x00."s), 0);
  EXPECT_EQ(value_of<int64_t>("\x8a\x02\x00\xff."s), -256);
  EXPECT_EQ(value_of<int64_t>("\x8a\x05\x00\x00\x00\x00\x01."s), int64_t{1} << 32);
  EXPECT_EQ(value_of<double>("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s), 1.5);
  EXPECT_NO_THROW(value_of<PickleObject::LongInteger>("\x8a\x09"s + "123456789" + "."));
}

TEST(Pickle, TextOfEveryProtocol) {
  for (
      const std::string& pickle :
      {"X\x02\x00\x00\x00hi."s, "\x8c\x02hi."s, "U\x02hi."s, "T\x02\x00\x00\x00hi."s,
       "\x80\x05\x95\x0d\x00\x00\x00\x00\x00\x00\x00\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi\x94."s}) {
    EXPECT_EQ(value_of<std::string>(pickle), "hi");
  }
}

TEST(Pickle, ObjectsAreSharedAndSeveralPicklesFollowEachOther) {
  const std::string pickles =
      "]q\x00(h\x00h\x00"
      "e.K\x05."s;
  PickleMachine machine(bytes_of(pickles), "x.pt");
  const PickleObject& list = machine.run();
  ASSERT_EQ(list.get<PickleObject::List>()->items.size(), 2u);
  EXPECT_EQ(list.get<PickleObject::List>()->items[0], &list);
  EXPECT_EQ(machine.position(), pickles.size() - 3);
  EXPECT_EQ(*machine.run().get<int64_t>(), 5);
}

TEST(Pickle, RefusesClassesByNameAndExecutesNothing) {
  for (const std::string& pickle :
       {"cos\nsystem\n."s, "ios\nsystem\n."s, "\x8c\x02os\x8c\x06system\x93."s,
        "cos\nsystem\nX\x04\x00\x00\x00"
        "echo\x85R."s}) {
    EXPECT_THAT(error_of(pickle),
                AllOf(HasSubstr("os.system"), HasSubstr("nothing is executed"), HasSubstr("x.pt")));
  }
  EXPECT_THAT(error_of("cbuiltins\neval\n."), HasSubstr("builtins.eval"));
  EXPECT_THAT(error_of("cnumpy.core.multiarray\nscalar\n."),
              HasSubstr("numpy.core.multiarray.scalar"));
  EXPECT_THAT(error_of("ctorch\nComplexFloatStorage\n."), HasSubstr("ComplexFloatStorage"));
}

TEST(Pickle, RefusesWhatIsMalformed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "cut off"},
      {"N", "cut off"},
      {".", "left over"},
      {"NN.", "left over"},
      {"N(.", "left over"},
      {"J\x01\x02.", "cut off"},
      {"X\xff\xff\xff\xffhi.", "cut off"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xffhi.", "cut off"},
      {"cos", "cut off"},
      {"\x80\x06.", "protocol 6"},
      {"h\x00."s, "object 0 is not there"},
      {"jabcd.", "is not there"},
      {"q\x00."s, "an object is missing"},
      {"\x85.", "an object is missing"},
      {"N(\x85.", "an object is missing"},
      {"t.", "a mark is missing"},
      {"Na.", "an object is missing"},
      {"NNa.", "no list"},
      {"N(Ne.", "no list"},
      {"}NNNs.", "no dict"},
      {"}(Nu.", "key without a value"},
      {"N(NNu.", "no dict"},
      {"NNb.", "attributes"},
      {"NNR.", "a call of what is no class"},
      {"ccollections\nOrderedDict\nNR.", "a call of what is no class"},
      {"ccollections\nOrderedDict\nN\x85R.", "collections.OrderedDict is not as"},
      {"ctorch\nSize\nN\x85R.", "torch.Size is not as"},
      {"ctorch\nFloatStorage\n)R.", "torch.FloatStorage is not as"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "_rebuild_tensor_v2 is not as"},
      {"ctorch._utils\n_rebuild_parameter\nN\x85R.", "_rebuild_parameter is not as"},
      {"icollections\nOrderedDict\n.", "an instance of collections.OrderedDict"},
      {"NN\x93.", "a class without name"},
      {"NQ.", "a storage is not as"},
      {"(X\x07\x00\x00\x00storageNNNNtQ."s, "a storage is not as"},
      {"\x8f.", "operation 143"},
      {"I1\n.", "operation 73"}};
  for (const auto& [pickle, reason] : cases) {
    EXPECT_THAT(error_of(pickle), AllOf(HasSubstr(reason), HasSubstr("x.pt"))) << reason;
  }
}

TEST(Pickle, AStorageHasOneDataType) {
  const auto storage = [](const std::string& type) {
    return "(\x8c\x07storagectorch\n" + type +
           "\n\x8c\x01"
           "0\x8c\x03"
           "cpuK\x01tQ";
  };
  const std::string same = storage("FloatStorage") + storage("FloatStorage") + "\x86.";
  EXPECT_NO_THROW(PickleMachine(bytes_of(same), "x.pt").run());
  EXPECT_THAT(error_of(storage("FloatStorage") + storage("IntStorage") + "\x86."),
              HasSubstr("two data types"));
  EXPECT_THAT(error_of("(\x8c\x07storagectorch\nFloatStorage\n\x8c\x01"
                       "0\x8c\x03"
                       "cpuJ\xff\xff\xff\xfftQ."),
              HasSubstr("a storage is not as"));
}

TEST(Pickle, IsBounded) {
  EXPECT_THAT(error_of(std::string(2'500'000, 'N')), HasSubstr("more than 2000000 objects"));
  EXPECT_THAT(error_of(std::string(2'500'000, '(')), HasSubstr("more than 2000000 objects"));
}

TEST(PickleWriter, WritesWhatTheMachineReads) {
  PickleWriter writer;
  writer.begin_tuple();
  const std::vector<int64_t> numbers = {0,         255,       256,       65535,     65536,    -1,
                                        INT32_MIN, INT32_MAX, INT64_MAX, INT64_MIN, 1LL << 40};
  for (const int64_t number : numbers) writer.integer(number);
  writer.real(-0.1);
  writer.shared_text("again");
  writer.shared_text("again");
  writer.global("collections", "OrderedDict");
  writer.global("collections", "OrderedDict");
  writer.end_tuple();
  const std::string pickle = writer.finish();
  PickleMachine machine(bytes_of(pickle), "x.pt");
  const auto& items = machine.run().get<PickleObject::Tuple>()->items;
  ASSERT_EQ(items.size(), numbers.size() + 5);
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(*items[i]->get<int64_t>(), numbers[i]);
  EXPECT_EQ(*items[numbers.size()]->get<double>(), -0.1);
  EXPECT_EQ(items[numbers.size() + 1], items[numbers.size() + 2]);  // one object
  EXPECT_EQ(items[numbers.size() + 3], items[numbers.size() + 4]);
}

}  // namespace
}  // namespace ttsft
