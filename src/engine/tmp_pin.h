#pragma once
namespace ashlar::engine { struct [[maybe_unused]] LogPin { LogPin() {} ~LogPin() {} LogPin(LogPin&&){} LogPin& operator=(LogPin&&){return *this;} }; }
