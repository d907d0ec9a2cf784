// Parts of answers that more than one command gives.
#pragma once

#include "cli/store/damage.h"
#include "cli/store/document.h"
#include "cli/store/log_view.h"
#include "cli/store/store_view.h"

namespace ashlar::store_tool {

// "damages" (those that are kept) and "damage_count".
void add_damages(Document& document, const DamageList& damages);
// Positions, verdict, how full.
Document describe_log(const StoreView& store, const LogView& view);
Document describe_broken_slots(const StoreView& store);

}  // namespace ashlar::store_tool
