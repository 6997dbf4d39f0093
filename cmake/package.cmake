# install and CPack rules
