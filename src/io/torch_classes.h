// The classes and functions that a file of torch.save may name, and what they are to us. There are
// no others: nothing is ever executed.
#pragma once

#include <string>

#include "pickle.h"

namespace ttsft {

// DataError when the class or function is none of them; says its name.
void require_torch_class(const std::string& name, const std::string& where);

// What calling it would make. DataError: other arguments than torch.save's.
PickleObject make_torch_object(const std::string& name, const PickleObject::Tuple& arguments,
                               const std::string& where);

// The storage that a persistent id stands for: ("storage", class, key, device, values), in the
// stream form with a sixth item, None or (key, first value, values) of a view.
TorchStorage torch_storage(const PickleObject& id, const std::string& where);

}  // namespace ttsft
