// SPDX-License-Identifier: Apache-2.0
//
// main() of a fuzz target that is built without a fuzzing engine: runs it on
// the files, and on the files in the directories, that are its arguments.  So
// "make check" replays each corpus with any compiler and sanitizer.
// Place: tests/fuzz.  Threads: one.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

bool
replay(const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    std::vector<char> input{std::istreambuf_iterator<char>(in), {}};
    if (!in) {
        std::fprintf(stderr, "%s: cannot be read\n", file.c_str());
        return false;
    }
    // Named before it runs, so that a crash says which input it was.
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    // A copy of exactly its size: a read past its end is seen by ASan.
    std::vector<uint8_t> exact(input.begin(), input.end());
    exact.shrink_to_fit();
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    return true;
}

}  // namespace

int
main(int argc, char* argv[])
{
    size_t runs = 0;
    for (int i = 1; i < argc; i++) {
        if (std::string_view(argv[i]).starts_with("-")) {
            continue;       // an option of libFuzzer
        }
        std::vector<std::filesystem::path> files;
        if (std::filesystem::is_directory(argv[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
                files.push_back(entry.path());
            }
            std::sort(files.begin(), files.end());
        } else {
            files.emplace_back(argv[i]);
        }
        for (const auto& file : files) {
            if (!replay(file)) {
                return 1;
            }
            runs++;
        }
    }
    if (runs == 0) {
        std::fprintf(stderr, "%s: no input\n", argv[0]);
        return 1;
    }
    return 0;
}
