// Stores and replicas as their users see them, in the simulator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/store_lab.h"

namespace ashlar::engine {
namespace {

using testing::ElementsAre;

TEST(StoreTest, WhatWasWrittenIsReadBeforeAndAfterAFlushAndInTheNextLife) {
  StoreLab lab;
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = (co_await l.make(1, 1024)).value();
    CO_ASSERT_OK(co_await l.write(*replica, 10, 3, 100));
    CO_ASSERT_OK(co_await l.write(*replica, 11, 1, 200));
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
    CO_ASSERT_OK(co_await l.store->checkpoint());
    EXPECT_EQ(replica->status().flushed, Lsn(2));
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
  });
  lab.run([](StoreLab& l) -> Task<void> {
    Replica* replica = l.find(1);
    CO_ASSERT_TRUE(replica != nullptr);
    EXPECT_THAT((co_await l.read(*replica, 9, 5)).value(), ElementsAre(0, 100, 200, 102, 0));
  });
}

}  // namespace
}  // namespace ashlar::engine
