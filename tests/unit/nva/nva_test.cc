// SPDX-License-Identifier: Apache-2.0
//
// What an NVA does not start with.
#include "nva/nva.h"

#include <gtest/gtest.h>

#include <fstream>

#include "nva_fixture.h"
#include "test_pki.h"

namespace nvo3::tests {
namespace {

std::string content(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(NvaStart, CaThatMayWriteTheStore)
{
    TempDir dir;
    const TestCa store(dir, "store"), nves(dir, "nves");
    FakeStore writer(small_store());
    auto start = [&](const std::string& store_ca) {
        nva::Nva::Options options;
        options.service.files = files_of(nves.host("nva1", "nva"), nves);
        options.store_ca = store_ca;
        return nva::Nva::start(std::move(options), writer);
    };
    struct Row {
        const char* what;
        std::string store_ca;
        const char* error;      // null: starts
    };
    const Row rows[] = {
        {"a CA of its own", store.path(), nullptr},
        {"no TLS at all", "", nullptr},
        {"the same file", nves.path(), "any NVE could write the store"},
        {"another file with the same CA", dir.write("copy.crt", content(nves.path())), "any NVE could write the store"},
        {"a bundle with the same CA", dir.write("both.crt", content(store.path()) + content(nves.path())), "any NVE could write the store"},
        {"a file that is not there", dir.file("none.crt"), "none.crt"},
    };
    for (const Row& row : rows) {
        auto started = start(row.store_ca);
        EXPECT_EQ(started.ok(), row.error == nullptr) << row.what;
        if (row.error && !started.ok()) {
            EXPECT_NE(started.error().text.find(row.error), std::string::npos) << row.what << ": " << started.error().text;
        }
    }
}

}  // namespace
}  // namespace nvo3::tests
