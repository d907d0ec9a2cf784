// iSCSI names (RFC 7143, 4.2.7): who an initiator or a target is.
//
//   iqn.2001-04.com.example:storage.disk1     date of the domain, reversed domain, anything
//   eui.02004567a425678d                      16 hexadecimal digits
//   naa.52004567ba64678d                      16 or 32 hexadecimal digits
//
// Names are compared after normalisation. The standard's profile (RFC 3722) folds case and Unicode
// forms; here ASCII letters become small, and letters beyond ASCII must be in that form already.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ashlar::iscsi {

inline constexpr std::size_t kLongestName = 223;  // bytes

// The form in which names are kept and compared; nothing when it is no iSCSI name.
std::optional<std::string> normalise_name(std::string_view name);

// Whether a list of who is allowed has this (normalised) name; an empty list allows everybody.
bool list_allows(std::span<const std::string> list, std::string_view name);

}  // namespace ashlar::iscsi
