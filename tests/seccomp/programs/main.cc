#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

int main()
{
    std::atomic<int> sum = 0;
    std::mutex mutex;
    std::condition_variable ready;
    bool go = false;
    std::vector<std::thread> threads;

    for (int i = 1; i <= 4; i++)
        threads.emplace_back([&, i] {
            std::unique_lock lock(mutex);
            ready.wait(lock, [&] { return go; });
            sum += i;
        });
    {
        std::lock_guard lock(mutex);
        go = true;
    }
    ready.notify_all();
    for (auto &thread : threads)
        thread.join();
    try {
        std::async(std::launch::async, [] { throw std::runtime_error("thrown"); }).get();
    } catch (const std::exception &error) {
        std::cout << "c++ " << sum << ' ' << error.what() << '\n';
    }
    std::filesystem::create_directories("/tmp/a/b");
    std::filesystem::copy("main.cc", "/tmp/a/b/copy");
    return std::filesystem::file_size("/tmp/a/b/copy") != std::filesystem::file_size("main.cc");
}
