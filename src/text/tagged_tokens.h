// What stands between the tagger and the verbalizer of a WeTextProcessing grammar:
//   money { currency_maj: "dollars" integer_part: "twelve" } word { value: "now" }
// The verbalizer wants the members of some tokens in an order of their own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ttsft {

// Token name and the order of its members.
using MemberOrders = std::vector<std::pair<std::string_view, std::vector<std::string_view>>>;

extern const MemberOrders kEnglishMemberOrders, kChineseMemberOrders;

// The tokens with their members in order; members that the order does not name are dropped, as
// upstream does. None when the text is not of this form.
std::optional<std::string> reorder_tokens(std::string_view tagged, const MemberOrders& orders);

}  // namespace ttsft
