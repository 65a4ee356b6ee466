#include "transport/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Keys : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "sutura-keys-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  /// The message of the kAuthentication error that `f` throws.
  static std::string refusal_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kAuthentication);
      return e.what();
    }
    return "nothing was thrown";
  }
  static mode_t mode(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }
  fs::path folder_;
};

TEST_F(Keys, GeneratedFilesHaveTheirModesAndFitTogether) {
  const std::string open = generate_keys(folder_, "north");
  EXPECT_EQ(mode(folder_ / "north.secret"), 0600u);
  EXPECT_EQ(mode(folder_ / "north.public"), 0644u);
  EXPECT_EQ(load_public(folder_ / "north.public"), open);
  EXPECT_EQ(public_of(load_secret(folder_ / "north.secret")), open);
  EXPECT_THAT(refusal_of([&] { generate_keys(folder_, "north"); }), HasSubstr("never overwritten"));
  EXPECT_EQ(load_public(folder_ / "north.public"), open);
  EXPECT_NE(generate_keys(folder_, "south"), open);
  EXPECT_THAT(refusal_of([&] { generate_keys(folder_, "../evil"); }), HasSubstr("name"));
}

TEST_F(Keys, SecretsThatOthersCanReadAreRefused) {
  generate_keys(folder_, "north");
  const fs::path path = folder_ / "north.secret";
  const std::string secret = load_secret(path);
  for (const mode_t bad : {0640u, 0604u, 0660u, 0644u, 0601u}) {
    ASSERT_EQ(chmod(path.c_str(), bad), 0);
    const std::string why = refusal_of([&] { load_secret(path); });
    EXPECT_THAT(why, HasSubstr("chmod 600")) << std::oct << bad;
    EXPECT_THAT(why, Not(HasSubstr(secret)));
  }
  ASSERT_EQ(chmod(path.c_str(), 0400), 0);
  EXPECT_EQ(load_secret(path), secret);
  fs::create_symlink(path, folder_ / "link.secret");
  EXPECT_THAT(refusal_of([&] { load_secret(folder_ / "link.secret"); }), HasSubstr("symbolic link"));
  EXPECT_THAT(refusal_of([&] { load_secret(folder_ / "none.secret"); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal_of([&] { load_secret(folder_); }), HasSubstr("regular file"));
}

TEST_F(Keys, WhatIsNoKeyIsRefused) {
  const std::string good = new_key_pair().public_z85;
  for (const std::string& bad : {std::string(), good.substr(1), good + "a", std::string(40, '#') + "#", std::string(40, '~'),
                                 std::string(40, '#')}) {  // "#####" is above 2^32
    const fs::path path = write("bad.public", bad + "\n");
    EXPECT_THAT(refusal_of([&] { load_public(path); }), HasSubstr("no public key")) << bad.size();
  }
  EXPECT_THAT(refusal_of([&] { require_key("short", "the server's public key"); }), HasSubstr("the server's public key"));
}

TEST_F(Keys, AuthorisedSites) {
  const std::string a = new_key_pair().public_z85;
  const std::string b = new_key_pair().public_z85;
  const auto sites = load_authorised(write("sites", "# who may in\n\nnorth " + a + "\r\n\tsouth-2\t" + b + "  \n"));
  EXPECT_EQ(sites, (std::map<std::string, std::string>{{a, "north"}, {b, "south-2"}}));
  const auto refused = [&](const std::string& text) {
    const std::string why = refusal_of([&] { load_authorised(write("sites", text)); });
    EXPECT_THAT(why, Not(HasSubstr(a)));
    EXPECT_THAT(why, Not(HasSubstr(b)));
    return why;
  };
  EXPECT_THAT(refused("north " + a + "\nnorth " + b + "\n"), HasSubstr("line 2: this site is already listed"));
  EXPECT_THAT(refused("north " + a + "\nsouth " + a + "\n"), HasSubstr("line 2: this key is already listed"));
  EXPECT_THAT(refused("# x\nnorth " + a.substr(1) + "\n"), HasSubstr("line 2: this is not a public key"));
  EXPECT_THAT(refused("north\n"), HasSubstr("line 1: expected"));
  EXPECT_THAT(refused("nor\x1bth " + a + "\n"), HasSubstr("line 1: a site name"));
  EXPECT_THAT(refused("north " + a + " extra\n"), HasSubstr("line 1"));
  EXPECT_THAT(refused("# nobody\n"), HasSubstr("no site is authorised"));
  EXPECT_THAT(refusal_of([&] { load_authorised(folder_ / "none"); }), HasSubstr("none"));
}

TEST_F(Keys, FingerprintsAreShortAndStable) {
  const std::string key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";  // the server key pair of the socket library's manual page
  EXPECT_EQ(fingerprint(key).size(), 16u);
  EXPECT_EQ(fingerprint(key), fingerprint(key));
  EXPECT_NE(fingerprint(key), fingerprint(new_key_pair().public_z85));
  EXPECT_EQ(public_of("JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"), key);
}

}  // namespace
}  // namespace sutura
